"""What settings demand of each other."""

from collections.abc import Iterator

from onnxd.security.origin import is_this_machine
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
    if not settings.insecure and not is_this_machine(settings.host) and (open_to_all := _open(settings)):
        text = (
            f"{settings.host} can be reached from other machines, and whoever does could {open_to_all}; "
            "name a file of API keys (auth.keys_file, `onnxd keys add`), switch model_control_api and "
            "settings_api off, or say insecure: true"
        )
        yield ("host",), ("auth", "keys_file"), text
    tls = settings.tls
    if (tls.certificate is None) is not (tls.key is None):
        yield ("tls", "certificate"), ("tls", "key"), "a certificate and its key are needed, or neither"
    if tls.client_ca is not None and tls.certificate is None:
        text = "clients can be asked for certificates over TLS alone, which needs one of the server's"
        yield ("tls", "client_ca"), ("tls", "certificate"), text
    if settings.auth.certificates and tls.client_ca is None:
        text = "clients' certificates are verified with tls.client_ca, which is not set"
        yield ("auth", "certificates"), ("tls", "client_ca"), text
    jwt = settings.jwt
    if jwt.issuer and not jwt.audience:
        text = "tokens that are for anybody are for nobody: say which audience this server is"
        yield ("jwt", "issuer"), ("jwt", "audience"), text
    if jwt.issuer and (jwt.keys_file is None) is not bool(jwt.keys_url):
        text = "the issuer's keys come from keys_file or from keys_url: name one of them"
        yield ("jwt", "issuer"), ("jwt", "keys_url"), text
    store = settings.object_store
    if store.endpoint.startswith("http:") and not store.allow_http:
        text = "without TLS objects may be changed on their way; say allow_http: true if that is meant"
        yield ("object_store", "endpoint"), ("object_store", "allow_http"), text
    if settings.lazy_load and settings.workers != 1:
        text = (
            "needs workers: 1; the workers of a server have the same models, so the first request to one of "
            "them would have to wait for all"
        )
        yield ("lazy_load",), ("workers",), text
    if settings.load_model and settings.model_control != "explicit":
        control = settings.model_control
        text = f"needs model_control explicit; with {control}, every model is loaded at the start anyway"
        yield ("load_model",), ("model_control",), text


def _open(settings: ServerSettings) -> str:
    """Which admin operations need no credential; "" = none."""
    if settings.auth.keys_file is not None or settings.auth.certificates or settings.jwt.issuer:
        return ""
    restricted = {api for groups in settings.auth.restricted_api for api in groups.split("+")}
    found = []
    controlled = settings.model_control_api and settings.model_control != "none"
    if controlled and "model-repository" not in restricted:
        found.append("load and unload models")
    if settings.settings_api and not {"trace", "logging"} <= restricted:
        found.append("change trace and log settings")
    return " and ".join(found)
