"""The whole HTTP surface as one list."""

from onnxd.http_frontend.call import Route
from onnxd.http_frontend.generate import GenerateHandlers
from onnxd.http_frontend.health import HealthHandlers
from onnxd.http_frontend.infer import InferHandlers
from onnxd.http_frontend.live import LiveEvents
from onnxd.http_frontend.log_settings import LogSettingHandlers
from onnxd.http_frontend.metadata import MetadataHandlers
from onnxd.http_frontend.metrics import MetricsHandlers
from onnxd.http_frontend.pages import PageHandlers
from onnxd.http_frontend.placement import PlacementHandlers
from onnxd.http_frontend.repository import RepositoryHandlers
from onnxd.http_frontend.shared_memory import SharedMemoryHandlers
from onnxd.http_frontend.simple import SimpleHandlers
from onnxd.http_frontend.statistics import StatisticsHandlers
from onnxd.http_frontend.trace_settings import TraceSettingHandlers


def routes(
    *,
    health: HealthHandlers,
    metadata: MetadataHandlers,
    infer: InferHandlers,
    generate: GenerateHandlers,
    statistics: StatisticsHandlers,
    repository: RepositoryHandlers,
    shared_memory: SharedMemoryHandlers,
    simple: SimpleHandlers,
    trace: TraceSettingHandlers,
    log: LogSettingHandlers,
    metrics: MetricsHandlers | None,
    placement: PlacementHandlers,
    pages: PageHandlers,
    live: LiveEvents,
) -> tuple[Route, ...]:
    """Method, path, handler, and the operation that a caller must be permitted."""
    model = "/v2/models/{model}"
    version = "/v2/models/{model}/versions/{version}"
    return (
        Route("GET", "/v2", metadata.server, "metadata"),
        Route("GET", "/v2/health/live", health.live, "health"),
        Route("GET", "/v2/health/started", health.started, "health"),
        Route("GET", "/v2/health/ready", health.ready, "health"),
        Route("GET", "/v2/models/stats", statistics.statistics, "stats"),
        Route("GET", model, metadata.model, "metadata"),
        Route("GET", version, metadata.model, "metadata"),
        Route("GET", f"{model}/ready", health.model_ready, "health"),
        Route("GET", f"{version}/ready", health.model_ready, "health"),
        Route("GET", f"{model}/config", metadata.config, "config"),
        Route("GET", f"{version}/config", metadata.config, "config"),
        Route("GET", f"{model}/explain", metadata.explain, "config"),
        Route("GET", f"{version}/explain", metadata.explain, "config"),
        Route("GET", f"{model}/stats", statistics.statistics, "stats"),
        Route("GET", f"{version}/stats", statistics.statistics, "stats"),
        Route("GET", f"{model}/placement", placement.placement, "stats"),
        Route("GET", f"{version}/placement", placement.placement, "stats"),
        Route("GET", f"{model}/batching", statistics.batching, "stats"),
        Route("GET", f"{version}/batching", statistics.batching, "stats"),
        Route("GET", f"{model}/recent", statistics.recent, "stats"),
        Route("POST", f"{model}/infer", infer.infer, "infer", on_lane=True),
        Route("POST", f"{version}/infer", infer.infer, "infer", on_lane=True),
        Route("POST", f"{model}/generate", generate.generate, "infer"),
        Route("POST", f"{version}/generate", generate.generate, "infer"),
        Route("POST", f"{model}/generate_stream", generate.generate_stream, "infer"),
        Route("POST", f"{version}/generate_stream", generate.generate_stream, "infer"),
        Route("POST", "/v2/repository/index", repository.index, "index"),
        Route("POST", "/v2/repository/{repo}/index", repository.index, "index"),
        Route("POST", "/v2/repository/models/{model}/load", repository.load, "load"),
        Route("POST", "/v2/repository/models/{model}/unload", repository.unload, "unload"),
        Route("GET", "/v2/trace/setting", trace.read, "trace_settings"),
        Route("POST", "/v2/trace/setting", trace.update, "trace"),
        Route("GET", f"{model}/trace/setting", trace.read, "trace_settings"),
        Route("POST", f"{model}/trace/setting", trace.update, "trace"),
        Route("GET", "/v2/logging", log.read, "log_settings"),
        Route("POST", "/v2/logging", log.update, "log"),
        Route("POST", "/v2/repository/{repo}/models/{model}/load", repository.in_one_repository, "load"),
        Route("POST", "/v2/repository/{repo}/models/{model}/unload", repository.in_one_repository, "unload"),
        *shared_memory.routes(),
        Route("GET", "/v2/events", live.events, "stats"),
        *pages.routes(),
        Route("GET", "/health", health.healthy, "health"),
        Route("POST", "/infer", simple.infer, "infer", simple.model),
        *(() if metrics is None else (Route("GET", "/metrics", metrics.scrape, "metrics"),)),
    )
