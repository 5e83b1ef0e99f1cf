"""The whole HTTP surface as one list."""

from onnxd.http_frontend.call import Route
from onnxd.http_frontend.health import HealthHandlers
from onnxd.http_frontend.infer import InferHandlers
from onnxd.http_frontend.metadata import MetadataHandlers
from onnxd.http_frontend.repository import RepositoryHandlers
from onnxd.http_frontend.shared_memory import SharedMemoryHandlers
from onnxd.http_frontend.simple import SimpleHandlers
from onnxd.http_frontend.statistics import StatisticsHandlers


def routes(
    *,
    health: HealthHandlers,
    metadata: MetadataHandlers,
    infer: InferHandlers,
    statistics: StatisticsHandlers,
    repository: RepositoryHandlers,
    shared_memory: SharedMemoryHandlers,
    simple: SimpleHandlers,
) -> tuple[Route, ...]:
    """Method, path, handler, and the operation that a caller must be permitted."""
    model = "/v2/models/{model}"
    version = "/v2/models/{model}/versions/{version}"
    return (
        Route("GET", "/v2", metadata.server, "metadata"),
        Route("GET", "/v2/health/live", health.live, "health"),
        Route("GET", "/v2/health/ready", health.ready, "health"),
        Route("GET", "/v2/models/stats", statistics.statistics, "stats"),
        Route("GET", model, metadata.model, "metadata"),
        Route("GET", version, metadata.model, "metadata"),
        Route("GET", f"{model}/ready", health.model_ready, "health"),
        Route("GET", f"{version}/ready", health.model_ready, "health"),
        Route("GET", f"{model}/config", metadata.config, "metadata"),
        Route("GET", f"{version}/config", metadata.config, "metadata"),
        Route("GET", f"{model}/stats", statistics.statistics, "stats"),
        Route("GET", f"{version}/stats", statistics.statistics, "stats"),
        Route("POST", f"{model}/infer", infer.infer, "infer"),
        Route("POST", f"{version}/infer", infer.infer, "infer"),
        Route("POST", "/v2/repository/index", repository.index, "metadata"),
        Route("POST", "/v2/repository/models/{model}/load", repository.load, "load"),
        Route("POST", "/v2/repository/models/{model}/unload", repository.unload, "unload"),
        *shared_memory.routes(),
        Route("GET", "/health", health.healthy, "health"),
        Route("POST", "/infer", simple.infer, "infer"),
    )
