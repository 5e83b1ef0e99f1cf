"""What settings demand of each other."""

from collections.abc import Iterator

from onnxd.settings.server_settings import ServerSettings
from onnxd.settings.table import SettingPath


def contradictions(settings: ServerSettings) -> Iterator[tuple[SettingPath, SettingPath, str]]:
    """Two settings that cannot both hold, each well-formed by itself, and why."""
    http, grpc = ("http", "port"), ("grpc", "port")
    if settings.http.port == settings.grpc.port != 0:
        text = f"{settings.grpc.port} is the port of the other listener too; HTTP and gRPC need one each"
        yield grpc, http, text
    if settings.metrics.enabled and settings.metrics.port:
        for other, port in ((http, settings.http.port), (grpc, settings.grpc.port)):
            if port == settings.metrics.port:
                text = f"{port} is the port of another listener too; the metrics need one of their own"
                yield ("metrics", "port"), other, text
    if settings.load_model and settings.model_control != "explicit":
        control = settings.model_control
        text = f"needs model_control explicit; with {control}, every model is loaded at the start anyway"
        yield ("load_model",), ("model_control",), text
