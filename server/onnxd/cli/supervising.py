"""`onnxd serve` with several workers, from the ports to the exit code."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog
import uvloop

from onnxd.cli.running import Ports, StartFailed, banner, either, start_failure, stop_signal
from onnxd.runtime.memory import calm_collector
from onnxd.settings.server_settings import ServerSettings
from onnxd.telemetry.logs import logging_to_stderr
from onnxd.workers.nursery import Forked, fork
from onnxd.workers.serving import Supervised, open_supervised
from onnxd.workers.sockets import GRPC, HTTP, METRICS, SharedPorts

_log = structlog.get_logger(__name__)


def run_supervised(settings: ServerSettings, count: int, show: Callable[[str], None]) -> int:
    """As `run`, with `count` workers. Raises PortTaken, of HTTP or gRPC, and what `supervise` does."""
    calm_collector()
    with SharedPorts(settings, count) as ports:
        nursery = fork()  # with the ports, and before there are threads
        with (
            logging_to_stderr(settings.log),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(supervise(settings, count, show, ports, nursery))
    return 0


async def supervise(
    settings: ServerSettings, count: int, show: Callable[[str], None], ports: SharedPorts, nursery: Forked
) -> None:
    """As `serve`, with `count` workers. Raises StartFailed, WorkersFailed, and what `open_supervised` does;
    in a group when it was while the server ran."""
    stopping = stop_signal()
    async with AsyncExitStack() as resources:
        parts = await open_supervised(settings, count, resources, ports, nursery)
        numbers = {protocol: port.number for protocol, port in ports.ports.items()}
        scrapes = numbers.get(METRICS, numbers[HTTP]) if settings.metrics.enabled else None
        shown = Ports(numbers[HTTP], numbers[GRPC], scrapes)
        _log.info(
            "listening",
            http=f"http://{settings.host}:{shown.http}",
            grpc=f"{settings.host}:{shown.grpc}",
            workers=count,
        )
        started = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            starting = tasks.create_task(_start(parts, started))
            ready = await either(started, stopping)
            starting.cancel()
        if ready:
            if settings.exit_on_error and (failed := parts.lifecycle.failed_at_start):
                raise StartFailed(start_failure(failed))
            await parts.crew.open()
            await parts.crew.settled()
            _log.info("ready")
            uses = (
                f"work   {count} workers",
                f"CPUs   {parts.threads}, in each worker",
                f"memory {parts.memory}",
            )
            show(banner(settings, shown, uses, await parts.lifecycle.index()))
            await stopping.wait()
        _log.info("draining")
        await parts.workers.drain()


async def _start(parts: Supervised, started: asyncio.Event) -> None:
    await parts.workers.all_listen()
    await parts.lifecycle.started.wait()
    started.set()
