"""`onnxd serve` from the open parts to the exit code: signals, banner, drain."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
import uvloop

from onnxd.app import drain, open_server
from onnxd.repository.catalog import IndexEntry, ModelState
from onnxd.runtime.memory import calm_collector, give_back
from onnxd.runtime.ort import check_distributions
from onnxd.runtime.threads import cpu_budget
from onnxd.settings.server_settings import ServerSettings
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.logs import log_settings, logging_to_stderr

_log = structlog.get_logger(__name__)


def run(settings: ServerSettings, show: Callable[[str], None]) -> int:
    """Run the server; the exit code is 0 after a drain. Raises as `serve` does, or `supervise`."""
    check_distributions()
    if (workers := settings.workers or cpu_budget()) > 1:
        from onnxd.cli.supervising import run_supervised

        return run_supervised(settings, workers, show)
    calm_collector()
    log = log_settings(settings.log)
    with (
        logging_to_stderr(settings.log, settings=log),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(serve(settings, show, log))
    return 0


class StartFailed(Exception):
    """Models did not load, and the settings say that this ends the server. For the operator."""


async def serve(settings: ServerSettings, show: Callable[[str], None], log: LogSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the process at once.

    `show` is given the banner once the server is ready. Raises StartFailed.
    """
    stopping = stop_signal()
    async with AsyncExitStack() as resources:
        server = await open_server(settings, resources, log)
        _log.info(
            "listening",
            http=f"http://{settings.host}:{server.http.port}",
            grpc=f"{settings.host}:{server.grpc.port}",
        )
        if await either(server.lifecycle.started, stopping):
            if settings.exit_on_error and (failed := server.lifecycle.failed_at_start):
                raise StartFailed(start_failure(failed))
            give_back()  # what imports and loads have freed
            server.inference.open()
            await server.grpc.announce(serving=True)
            _log.info("ready")
            scrapes = None if server.metrics is None else server.metrics.port or server.http.port
            ports = Ports(server.http.port, server.grpc.port, scrapes)
            uses = (f"CPUs   {server.threads}", f"memory {server.memory}")
            show(banner(settings, ports, uses, await server.lifecycle.index()))
            await stopping.wait()
        await drain(settings, server)


@dataclass(frozen=True, slots=True)
class Ports:
    """Those that are listened on."""

    http: int
    grpc: int
    metrics: int | None
    """None = metrics are switched off."""


def banner(settings: ServerSettings, ports: Ports, uses: Sequence[str], index: tuple[IndexEntry, ...]) -> str:
    """What was loaded, where it listens, what it uses, and the next command to try."""
    lines = [f"  HTTP   http://{settings.host}:{ports.http}"]
    lines.append(f"  gRPC   {settings.host}:{ports.grpc}")
    if ports.metrics is not None:
        lines.append(f"  scrape http://{settings.host}:{ports.metrics}/metrics")
    lines += [f"  {use}" for use in uses]
    for entry in index:
        name = entry.name if entry.version is None else f"{entry.name} version {entry.version}"
        state = entry.state.value if entry.state is not None else "not loaded"
        lines.append(f"  {state:<12}{name}" + (f": {entry.reason}" if entry.reason else ""))
    ready = [entry.name for entry in index if entry.state is ModelState.READY]
    if ready:
        lines.append(f"  try    curl http://{settings.host}:{ports.http}/v2/models/{ready[0]}")
    else:
        lines.append(f"  serve  a model: put it into {settings.model_repository[0]}/NAME/1/model.onnx")
    return "\n".join(lines)


def start_failure(failed: Mapping[str, str]) -> str:
    lines = [f"model '{name}' did not load: {reason}" for name, reason in sorted(failed.items())]
    return "\n".join((*lines, "the server ends, as the setting exit_on_error says"))


def stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, number, stopping)
    return stopping


def _on_signal(number: int, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        # The operator said it twice: end as the signal would have.
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    stopping.set()


async def either(wanted: asyncio.Event, stopping: asyncio.Event) -> bool:
    """Wait for one of them; whether it is `wanted`."""
    async with asyncio.TaskGroup() as waits:
        tasks = [waits.create_task(event.wait()) for event in (wanted, stopping)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    return not stopping.is_set()
