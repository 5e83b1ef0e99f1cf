"""The composition root: opens every part in order and closes them in reverse.

    logging -> audit -> tracing -> store -> trial room -> process room -> object stores -> lifecycle
    -> shared memory -> certificates -> gate -> recorder -> gRPC -> HTTP -> metrics -> (serve) -> drain

Nothing below knows the settings as a whole; each part is given its own.
"""

import asyncio
import platform
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Final

import structlog

from onnxd.fleet import Alone, Fleet
from onnxd.grpc_frontend.control import ControlCalls
from onnxd.grpc_frontend.infer import InferCalls
from onnxd.grpc_frontend.neural import NeuralCalls
from onnxd.grpc_frontend.run_time_settings import SettingCalls
from onnxd.grpc_frontend.server import GrpcFrontend
from onnxd.grpc_frontend.transport import Transport
from onnxd.http_frontend.metrics import MetricsListener
from onnxd.http_frontend.server import HttpFrontend
from onnxd.inference import InferenceService
from onnxd.recorded_inference import RecordedInference
from onnxd.repository.catalog import Catalog
from onnxd.repository.control_plane import ControlPlane
from onnxd.repository.known_trials import TrialFiles
from onnxd.repository.lifecycle import Lifecycle
from onnxd.repository.loader import Loader, LoaderOptions
from onnxd.repository.memory_ledger import MemoryLedger
from onnxd.repository.object_store.roots import RemoteRoots
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
from onnxd.telemetry.export_counts import ExportCounts, RecordCounts, SpanCounts
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.logs import log_settings
from onnxd.telemetry.loop_lag import LoopLag
from onnxd.telemetry.metric_export import open_metric_export
from onnxd.telemetry.metrics import Metrics
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.recent import Recent
from onnxd.telemetry.recorder import open_recorder
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.telemetry.setup import open_tracing
from onnxd.telemetry.tracing import Tracing

SERVER_NAME: Final = "onnxd"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fronts:
    """The parts that face the clients."""

    http: HttpFrontend
    grpc: GrpcFrontend
    inference: InferenceService
    metrics: MetricsListener | None
    """None = metrics are switched off."""
    seen: Metrics
    """What this process has done and uses."""


@dataclass(frozen=True, slots=True)
class Server(Fronts):
    """The open parts, for whoever runs the server: the command, and tests."""

    lifecycle: Lifecycle
    threads: ThreadBudget
    memory: MemoryLedger
    remote: RemoteRoots


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound already, for listeners that share their ports with others; None = each binds its own."""

    http: socket.socket | None = None
    grpc: socket.socket | None = None
    metrics: socket.socket | None = None
    grpc_transport: Transport | None = None
    """What carries gRPC calls where nothing of ours listens for them."""


@dataclass(frozen=True, slots=True)
class Control:
    """What is behind the front ends of one process."""

    catalog: Catalog
    plane: ControlPlane
    trials: TrialRoom
    threads: ThreadBudget
    memory: MemoryLedger
    loads: Callable[[], Mapping[str, int]]
    """Loads so far, by result."""
    spans: SpanCounts
    remote: RemoteRoots | None = None
    """What this process keeps up with in object stores; None = another process does that."""


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of a process in a server of several."""

    sockets: Sockets
    fleet: Callable[[SharedMemory, RunTimeSettings], Fleet]
    """Called before anything listens."""
    gather: Callable[[], Awaitable[Observation]] | None
    """What all have seen and use; None = each tells its own."""


async def open_server(
    settings: ServerSettings,
    resources: AsyncExitStack,
    log: LogSettings | None = None,
    seat: Seat | None = None,
) -> Server:
    """Open every part on `resources`, which closes them in reverse. It listens when this returns, and is
    ready once `lifecycle.started` is set and `inference.open` has been called.

    `log`: of the log that is open, for clients to change; None = the log is somebody else's. `seat` None:
    there is this process alone.
    Raises StateDirectoryUnusable, PortTaken, TracingUnavailable, SharedMemoryUnavailable, AuthUnusable,
    KeyFileUnusable, AuditUnusable, RecorderUnusable, TlsUnusable, TokenKeysUnusable,
    ObjectStorageUnavailable: for the operator, each with its mend.
    """
    catalog = Catalog()
    spans = SpanCounts()
    tracing = await open_telemetry(settings, resources, catalog, spans)
    state_dir = settings.state_dir or default_state_dir()
    store = resources.enter_context(SnapshotStore(state_dir))
    trials = await resources.enter_async_context(TrialRoom(settings.trial))
    processes = await resources.enter_async_context(ProcessRoom(settings.isolation))
    threads = ThreadBudget(settings.threads.budget or cpu_budget(), settings.threads.sharing)
    memory = MemoryLedger(settings.memory.budget_bytes())
    loader = Loader(
        store,
        trials,
        processes,
        threads=threads,
        memory=memory,
        verdicts=VerdictFiles(state_dir),
        known_trials=TrialFiles(state_dir, settings.batching.default_max_batch_size),
        options=loader_options(settings),
    )
    remote = await resources.enter_async_context(remote_roots_of(settings))
    lifecycle = await resources.enter_async_context(lifecycle_of(settings, catalog, loader, remote))
    control = Control(catalog, lifecycle, trials, threads, memory, lifecycle.loads.copy, spans, remote)
    fronts = await open_fronts(settings, resources, control, tracing, log, seat)
    if settings.lazy_load:
        fronts.inference.wakes = lifecycle.wake
    return Server(
        fronts.http,
        fronts.grpc,
        fronts.inference,
        fronts.metrics,
        fronts.seen,
        lifecycle,
        threads,
        memory,
        remote,
    )


def loader_options(settings: ServerSettings) -> LoaderOptions:
    """Of every loader, the workers' too."""
    return LoaderOptions(
        batching=settings.batching,
        fairness=settings.fairness,
        overload=settings.overload,
        replica=settings.identity.pod,
        single_model=settings.single_model_name or "",
    )


async def open_telemetry(
    settings: ServerSettings, resources: AsyncExitStack, catalog: Catalog, spans: SpanCounts
) -> Tracing:
    """The audit log and the traces, which are closed last. Raises AuditUnusable, TracingUnavailable."""
    resources.enter_context(open_audit(settings.audit))
    recent = Recent(settings.recent, catalog.knows)
    return await resources.enter_async_context(
        open_tracing(
            settings.tracing, version("onnxd"), recent=recent, counts=spans, identity=settings.identity
        )
    )


def remote_roots_of(settings: ServerSettings) -> RemoteRoots:
    """Of the repositories that the settings name."""
    store = settings.object_store
    return RemoteRoots(
        settings.model_repository,
        store,
        store.cache_dir or (settings.state_dir or default_state_dir()) / "objects",
        single_model=settings.single_model_name or "",
    )


def lifecycle_of(
    settings: ServerSettings, catalog: Catalog, loader: Loader, remote: RemoteRoots
) -> Lifecycle:
    """Of the repository that the settings name."""
    return Lifecycle(
        catalog,
        loader,
        remote.directories,
        control=settings.model_control,
        control_by_api=settings.model_control_api,
        overrides=settings.model_overrides,
        most_brought=settings.max_brought_models,
        watch=settings.watch,
        load_at_start=settings.load_model,
        parallel_loads=settings.parallel_loads,
        lazy=settings.lazy_load,
        eager=settings.ready_models,
        read=remote.read,
        arrived=remote.arrived,
    )


def open_inference(
    settings: ServerSettings,
    resources: AsyncExitStack,
    catalog: Catalog,
    shared_memory: SharedMemory,
    records: RecordCounts,
) -> InferenceService:
    """The data plane, which records a share of the requests if that is asked for. Raises RecorderUnusable."""
    state_dir = settings.state_dir or default_state_dir()
    recorder = resources.enter_context(open_recorder(settings.recorder, state_dir, records))
    strict, needed = settings.strict_readiness, settings.ready_models
    if recorder is None:
        return InferenceService(
            catalog, settings.inference, shared_memory, strict_readiness=strict, ready_models=needed
        )
    return RecordedInference(
        recorder, catalog, settings.inference, shared_memory, strict_readiness=strict, ready_models=needed
    )


async def open_fronts(
    settings: ServerSettings,
    resources: AsyncExitStack,
    control: Control,
    tracing: Tracing,
    log: LogSettings | None,
    seat: Seat | None = None,
) -> Fronts:
    """All that faces the clients, and the data plane that it asks. `seat` None: there is this process alone.

    Raises PortTaken, SharedMemoryUnavailable, AuthUnusable, KeyFileUnusable, TlsUnusable, TokenKeysUnusable,
    RecorderUnusable.
    """
    release = version("onnxd")
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
    records = RecordCounts()
    inference = open_inference(settings, resources, control.catalog, shared_memory, records)
    if control.remote is not None:
        inference.awaited = control.remote.awaited
    fleet = seat.fleet(shared_memory, run_time) if seat else Alone(shared_memory, run_time)
    sockets = seat.sockets if seat else Sockets()
    exports = ExportCounts()
    lag = await resources.enter_async_context(LoopLag())

    def seen() -> Observation:
        by_parts = observe(release, inference, control, refusals)
        return replace(
            by_parts,
            loop_lag_s=lag.worst_s,
            threads={"budget": control.threads.budget, "claimed": sum(control.threads.shares.values())},
            spans=control.spans.snapshot(),
            metric_exports=exports.snapshot(),
            records=records.snapshot(),
            identity=settings.identity.labels(),
            exemplars=tracing.exemplars.snapshot((each.model, each.version) for each in by_parts.versions),
        )

    metrics = Metrics(seen, seat.gather if seat else None)
    if seat is None or seat.gather is None:  # of workers, the supervisor sends the sum
        await resources.enter_async_context(
            open_metric_export(settings.metric_export, metrics, release, exports, settings.identity)
        )
    grpc = await resources.enter_async_context(
        GrpcFrontend(
            settings.grpc,
            settings.host,
            infer=InferCalls(inference, tracing, settings.limits),
            control=ControlCalls(inference, control.plane, settings.limits, SERVER_NAME, release, fleet),
            neural=NeuralCalls(inference, settings.simple.model),
            settings=SettingCalls(inference, run_time, fleet),
            refusals=refusals,
            gate=gate,
            certificates=certificates,
            sock=sockets.grpc,
            transport=sockets.grpc_transport,
        )
    )
    http = await resources.enter_async_context(
        HttpFrontend(
            settings.http,
            settings.host,
            inference=inference,
            lifecycle=control.plane,
            tracing=tracing,
            run_time=run_time,
            fleet=fleet,
            limits=settings.limits,
            simple_model=settings.simple.model,
            server_name=SERVER_NAME,
            server_version=release,
            refusals=refusals,
            gate=gate,
            tls=tls,
            metrics=metrics if settings.metrics.enabled else None,
            placements=PlacementReports(control.trials),
            observe=seen,
            sock=sockets.http,
        )
    )
    scrapes: MetricsListener | None = None
    if settings.metrics.enabled:
        scrapes = await resources.enter_async_context(
            MetricsListener(
                metrics, settings.metrics, settings.http, settings.host, gate, tls, sockets.metrics
            )
        )
    return Fronts(http, grpc, inference, scrapes, metrics)


def observe(
    release: str,
    inference: InferenceService,
    control: Control,
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
        loads=control.loads(),
        payload_bytes=inference.payloads.held_bytes,
        memory_returned=control.memory.returned_bytes,
        workers_alive=1,
        storage=control.remote.observe() if control.remote is not None else (),
    )


async def drain(settings: ServerSettings, server: Fronts, refuse: Callable[[], None] = lambda: None) -> None:
    """Not ready at once; then linger, so that balancers notice; then refuse, and let what runs finish.
    `refuse`: closes what else connections are accepted on."""
    _log.info("draining", in_flight=server.inference.in_flight)
    server.inference.begin_drain()
    await server.grpc.announce(serving=False)
    server.http.begin_drain()
    await asyncio.sleep(settings.drain.linger)
    refuse()
    async with asyncio.TaskGroup() as stops:
        stops.create_task(server.grpc.stop(settings.drain.grace))
        stops.create_task(server.http.stop(settings.drain.grace))
    server.inference.stop()
