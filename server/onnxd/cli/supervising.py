"""`onnxd serve` with several workers, from the ports to the exit code."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from onnxd.cli.running import Ports, StartFailed, banner, either, start_failure, stop_signal
from onnxd.settings.server_settings import ServerSettings
from onnxd.workers.serving import Supervised, open_supervised
from onnxd.workers.sockets import GRPC, HTTP, METRICS

_log = structlog.get_logger(__name__)


async def supervise(settings: ServerSettings, count: int, show: Callable[[str], None]) -> None:
    """As `serve`, with `count` workers. Raises StartFailed, WorkersFailed, and what `open_supervised` does;
    in a group when it was while the server ran."""
    stopping = stop_signal()
    async with AsyncExitStack() as resources:
        parts = await open_supervised(settings, count, resources)
        numbers = {protocol: port.number for protocol, port in parts.ports.ports.items()}
        ports = Ports(numbers[HTTP], numbers[GRPC], None)
        if settings.metrics.enabled:
            ports = Ports(ports.http, ports.grpc, numbers.get(METRICS, ports.http))
        _log.info(
            "listening",
            http=f"http://{settings.host}:{ports.http}",
            grpc=f"{settings.host}:{ports.grpc}",
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
            show(banner(settings, ports, uses, await parts.lifecycle.index()))
            await stopping.wait()
        _log.info("draining")
        await parts.workers.drain()


async def _start(parts: Supervised, started: asyncio.Event) -> None:
    await parts.workers.all_listen()
    await parts.lifecycle.started.wait()
    started.set()
