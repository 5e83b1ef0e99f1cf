"""`onnxd serve` with several workers, from the ports to the exit."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

import structlog

from onnxd.app import lifecycle_of, loader_options, remote_roots_of
from onnxd.http_frontend.metrics import DEFAULT_PORT
from onnxd.repository.known_trials import TrialFiles
from onnxd.repository.lifecycle import Lifecycle
from onnxd.repository.memory_ledger import MemoryLedger
from onnxd.repository.store import SnapshotStore, default_state_dir
from onnxd.repository.verdicts import VerdictFiles
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.thread_shares import ThreadBudget
from onnxd.runtime.trial import TrialRoom
from onnxd.settings.server_settings import ServerSettings
from onnxd.telemetry.metric_export import open_metric_export
from onnxd.telemetry.metrics import Metrics
from onnxd.workers.count import threads_of_one
from onnxd.workers.crew import Crew
from onnxd.workers.nursery import Forked
from onnxd.workers.repository import FleetCatalog, FleetLoader
from onnxd.workers.sockets import SharedPorts
from onnxd.workers.supervisor import Workers

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Supervised:
    """The open parts of the supervisor."""

    crew: Crew
    workers: Workers
    lifecycle: Lifecycle
    ports: SharedPorts
    threads: ThreadBudget
    """Of each worker."""
    memory: MemoryLedger
    """Of all of them."""


async def open_supervised(
    settings: ServerSettings,
    count: int,
    resources: AsyncExitStack,
    ports: SharedPorts,
    nursery: Forked | None = None,
) -> Supervised:
    """Open every part on `resources`, which closes them in reverse; workers are being started when this
    returns. `ports` are open; `nursery`: has been forked since, None = it is started.

    Raises StateDirectoryUnusable, TracingUnavailable, ObjectStorageUnavailable.
    """
    if ports.metrics_taken:
        _log.warning(
            "the port for metrics is in use, by another server perhaps: only the HTTP port has /metrics",
            port=DEFAULT_PORT,
            mend="choose a port with --metrics-port",
        )
    state_dir = settings.state_dir or default_state_dir()
    store = resources.enter_context(SnapshotStore(state_dir))
    trials = await resources.enter_async_context(TrialRoom(settings.trial))
    # Nothing is run here: the processes of models that are isolated are the workers' own.
    processes = await resources.enter_async_context(ProcessRoom(settings.isolation))
    crew = Crew(count)
    catalog = FleetCatalog(crew)
    threads = ThreadBudget(threads_of_one(settings, count), settings.threads.sharing)
    memory = MemoryLedger(settings.memory.budget_bytes())
    loader = FleetLoader(
        crew,
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
    crew.awaited = remote.awaited
    workers = await resources.enter_async_context(
        Workers(settings, crew, ports, lifecycle, nursery, remote.observe)
    )
    metrics = Metrics(workers.last_seen)
    await resources.enter_async_context(
        open_metric_export(
            settings.metric_export, metrics, version("onnxd"), workers.exports, settings.identity
        )
    )
    return Supervised(crew, workers, lifecycle, ports, threads, memory)
