"""The composition root: opens every part in order and closes them in reverse.

    logging -> audit -> tracing -> store -> trial room -> process room -> lifecycle -> shared memory
    -> certificates -> gate -> gRPC -> HTTP -> metrics -> (serve) -> drain

Nothing below knows the settings as a whole; each part is given its own.
"""

import asyncio
import platform
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Final

import structlog

from onnxd.grpc_frontend.control import ControlCalls
from onnxd.grpc_frontend.infer import InferCalls
from onnxd.grpc_frontend.neural import NeuralCalls
from onnxd.grpc_frontend.run_time_settings import SettingCalls
from onnxd.grpc_frontend.server import GrpcFrontend
from onnxd.http_frontend.metrics import MetricsListener
from onnxd.http_frontend.server import HttpFrontend
from onnxd.inference import InferenceService
from onnxd.repository.catalog import Catalog
from onnxd.repository.lifecycle import Lifecycle
from onnxd.repository.loader import Loader
from onnxd.repository.memory_ledger import MemoryLedger
from onnxd.repository.placement_report import PlacementReports
from onnxd.repository.store import SnapshotStore, default_state_dir
from onnxd.repository.verdicts import VerdictFiles
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.thread_shares import ThreadBudget
from onnxd.runtime.threads import cpu_budget
from onnxd.runtime.trial import TrialRoom
from onnxd.security.opening import open_gate
from onnxd.security.tls import Certificates
from onnxd.settings.server_settings import ServerSettings
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.audit import open_audit
from onnxd.telemetry.export_counts import ExportCounts, SpanCounts
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.logs import log_settings
from onnxd.telemetry.loop_lag import LoopLag
from onnxd.telemetry.metric_export import open_metric_export
from onnxd.telemetry.metrics import Metrics
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.recent import Recent
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.telemetry.setup import open_tracing

SERVER_NAME: Final = "onnxd"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The open parts, for whoever runs the server: the command, and tests."""

    http: HttpFrontend
    grpc: GrpcFrontend
    inference: InferenceService
    lifecycle: Lifecycle
    threads: ThreadBudget
    memory: MemoryLedger
    metrics: MetricsListener | None
    """None = metrics are switched off."""


async def open_server(
    settings: ServerSettings, resources: AsyncExitStack, log: LogSettings | None = None
) -> Server:
    """Open every part on `resources`, which closes them in reverse. It listens when this returns, and is
    ready once `lifecycle.started` is set and `inference.open` has been called.

    `log`: of the log that is open, for clients to change; None = the log is somebody else's.
    Raises StateDirectoryUnusable, PortTaken, TracingUnavailable, SharedMemoryUnavailable, AuthUnusable,
    KeyFileUnusable, AuditUnusable, TlsUnusable, TokenKeysUnusable: for the operator, each with its mend.
    """
    release = version("onnxd")
    resources.enter_context(open_audit(settings.audit))
    catalog = Catalog()
    recent = Recent(settings.recent, catalog.knows)
    spans = SpanCounts()
    tracing = await resources.enter_async_context(
        open_tracing(settings.tracing, release, recent=recent, counts=spans)
    )
    state_dir = settings.state_dir or default_state_dir()
    store = resources.enter_context(SnapshotStore(state_dir))
    trials = await resources.enter_async_context(TrialRoom(settings.trial))
    processes = await resources.enter_async_context(ProcessRoom(settings.isolation))
    threads = ThreadBudget(settings.threads.budget or cpu_budget(), settings.threads.sharing)
    memory = MemoryLedger(settings.memory.budget_bytes())
    lifecycle = await resources.enter_async_context(
        Lifecycle(
            catalog,
            Loader(
                store,
                trials,
                processes,
                threads=threads,
                memory=memory,
                batching=settings.batching,
                fairness=settings.fairness,
                overload=settings.overload,
                verdicts=VerdictFiles(state_dir),
            ),
            settings.model_repository,
            control=settings.model_control,
            control_by_api=settings.model_control_api,
            overrides=settings.model_overrides,
            most_brought=settings.max_brought_models,
            watch=settings.watch,
            load_at_start=settings.load_model,
        )
    )
    run_time = RunTimeSettings(
        tracing.settings, log or log_settings(settings.log), by_api=settings.settings_api
    )
    refusals = Refusals()
    shared_memory = resources.enter_context(SharedMemory(settings.shared_memory, settings.limits))
    certificates = None
    if settings.tls.certificate is not None:
        certificates = await resources.enter_async_context(Certificates(settings.tls))
    tls = certificates.context if certificates else None
    gate = await resources.enter_async_context(open_gate(settings.auth, settings.jwt, settings.rate))
    inference = InferenceService(
        catalog, settings.inference, shared_memory, strict_readiness=settings.strict_readiness
    )
    exports = ExportCounts()
    lag = await resources.enter_async_context(LoopLag())

    def seen() -> Observation:
        by_parts = observe(release, inference, lifecycle, memory, refusals)
        return replace(
            by_parts,
            loop_lag_s=lag.worst_s,
            threads={"budget": threads.budget, "claimed": sum(threads.shares.values())},
            spans=spans.snapshot(),
            metric_exports=exports.snapshot(),
            exemplars=tracing.exemplars.snapshot((each.model, each.version) for each in by_parts.versions),
        )

    metrics = Metrics(seen)
    await resources.enter_async_context(open_metric_export(settings.metric_export, metrics, release, exports))
    grpc = await resources.enter_async_context(
        GrpcFrontend(
            settings.grpc,
            settings.host,
            infer=InferCalls(inference, tracing, settings.limits),
            control=ControlCalls(inference, lifecycle, settings.limits, SERVER_NAME, release),
            neural=NeuralCalls(inference, settings.simple.model),
            settings=SettingCalls(inference, run_time),
            refusals=refusals,
            gate=gate,
            certificates=certificates,
        )
    )
    http = await resources.enter_async_context(
        HttpFrontend(
            settings.http,
            settings.host,
            inference=inference,
            lifecycle=lifecycle,
            tracing=tracing,
            run_time=run_time,
            limits=settings.limits,
            simple_model=settings.simple.model,
            server_name=SERVER_NAME,
            server_version=release,
            refusals=refusals,
            gate=gate,
            tls=tls,
            metrics=metrics if settings.metrics.enabled else None,
            placements=PlacementReports(trials),
            observe=seen,
        )
    )
    scrapes: MetricsListener | None = None
    if settings.metrics.enabled:
        scrapes = await resources.enter_async_context(
            MetricsListener(metrics, settings.metrics, settings.http, settings.host, gate, tls)
        )
    return Server(http, grpc, inference, lifecycle, threads, memory, scrapes)


def observe(
    release: str,
    inference: InferenceService,
    lifecycle: Lifecycle,
    memory: MemoryLedger,
    refusals: Refusals,
) -> Observation:
    """What the parts of the server have seen, for the metrics."""
    return Observation(
        build={
            "version": release,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        versions=inference.observe(),
        in_flight=inference.in_flight,
        refused=refusals.snapshot(),
        loads=lifecycle.loads.copy(),
        payload_bytes=inference.payloads.held_bytes,
        memory_returned=memory.returned_bytes,
    )


async def drain(settings: ServerSettings, server: Server) -> None:
    """Not ready at once; then linger, so that balancers notice; then refuse, and let what runs finish."""
    _log.info("draining", in_flight=server.inference.in_flight)
    server.inference.begin_drain()
    await server.grpc.announce(serving=False)
    server.http.begin_drain()
    await asyncio.sleep(settings.drain.linger)
    async with asyncio.TaskGroup() as stops:
        stops.create_task(server.grpc.stop(settings.drain.grace))
        stops.create_task(server.http.stop(settings.drain.grace))
    server.inference.stop()
