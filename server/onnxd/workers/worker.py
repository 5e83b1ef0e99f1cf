"""One worker from its first word to its last: told its settings, brought up to date, serving, drained."""

import asyncio
import contextlib
import os
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import structlog

from onnxd.app import Control, Fronts, Seat, drain, loader_options, open_fronts, open_telemetry
from onnxd.fleet import Fleet
from onnxd.repository.catalog import Catalog
from onnxd.repository.memory_ledger import MemoryLedger
from onnxd.repository.store import default_state_dir
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.trial import TrialRoom
from onnxd.security.opening import AuthUnusable
from onnxd.settings.server_settings import ServerSettings
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.export_counts import SpanCounts
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.logs import log_settings, logging_to_stderr
from onnxd.telemetry.otlp import TracingUnavailable
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.workers.channel import Channel, Gone
from onnxd.workers.doors import Doors
from onnxd.workers.duties import Duties
from onnxd.workers.mirror import DealtThreads, LentCopies, LentLoader, Mirror
from onnxd.workers.relay import from_json
from onnxd.workers.remote import RemoteControl, RemoteFleet, Supervisor

FAILED_TO_START: Final = 3
"""The exit code of a worker that has told why it cannot serve."""
_BEGIN_S: Final = 60.0
_TELL_S: Final = 10.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """The first word."""

    settings: ServerSettings
    descriptors: dict[str, list[list[int]]]
    """Inherited sockets, by protocol, for each worker."""


async def work(number: int, sock: socket.socket) -> int:
    """Serve until told to stop, by the supervisor or by a signal; then drain. The exit code.

    Ends the process at once when the supervisor has gone, or at a second signal.
    """
    duties = Duties()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, _on_signal, each, duties.stopping)
    async with Channel(sock, duties.answer) as channel, asyncio.TaskGroup() as tasks:
        listening_to = tasks.create_task(_obey(channel))
        async with asyncio.timeout(_BEGIN_S):
            begin = from_json(Begin, await duties.begun)
        log = log_settings(begin.settings.log)
        with logging_to_stderr(begin.settings.log, settings=log, worker=number):
            code = await _serve(number, begin, duties, channel, log)
        listening_to.cancel()
    return code


async def _serve(number: int, begin: Begin, duties: Duties, channel: Channel, log: LogSettings) -> int:
    try:
        async with AsyncExitStack() as resources:
            fronts, doors = await _open(number, begin, duties, channel, resources, log)
            await duties.stopping.wait()
            with contextlib.suppress(Gone, TimeoutError):
                await channel.ask("leaving", within_s=_TELL_S)
            await drain(begin.settings, fronts, doors.close)
            with contextlib.suppress(Gone, TimeoutError):
                await channel.ask("farewell", {"report": await duties.report()}, within_s=_TELL_S)
    except Exception as error:  # the supervisor tells the operator, whatever it is
        error = _first(error)
        if not isinstance(error, OSError | AuthUnusable | TracingUnavailable):  # those are sentences
            _log.error("cannot serve", exc_info=error)
        with contextlib.suppress(Gone, TimeoutError):
            await channel.ask("refused", {"reason": str(error) or type(error).__name__}, within_s=_TELL_S)
        return FAILED_TO_START
    return 0


async def _open(
    number: int,
    begin: Begin,
    duties: Duties,
    channel: Channel,
    resources: AsyncExitStack,
    log: LogSettings,
) -> tuple[Fronts, Doors]:
    settings = begin.settings
    catalog, memory, spans = Catalog(), MemoryLedger(), SpanCounts()
    tracing = await open_telemetry(settings, resources, catalog, spans)
    trials = await resources.enter_async_context(TrialRoom(settings.trial))
    processes = await resources.enter_async_context(ProcessRoom(settings.isolation))
    threads = DealtThreads(settings.threads.budget, settings.threads.sharing)
    state_dir = settings.state_dir or default_state_dir()
    loader = LentLoader(
        LentCopies(state_dir),
        trials,
        processes,
        threads=threads,
        memory=memory,
        options=loader_options(settings),
    )
    duties.mirror = await resources.enter_async_context(Mirror(catalog, loader, threads))
    doors = duties.doors = Doors(number, begin.descriptors)
    resources.callback(doors.close)
    supervisor = Supervisor(channel)
    fleet = RemoteFleet(supervisor)

    def seated(shared_memory: SharedMemory, run_time: RunTimeSettings) -> Fleet:
        duties.settle(shared_memory, run_time)
        return fleet

    plane = RemoteControl(supervisor, overrides=settings.model_overrides, state_dir=state_dir)
    control = Control(catalog, plane, trials, threads, memory, _no_loads, spans)
    await channel.ask("begun", within_s=_TELL_S)
    await duties.may_listen.wait()
    seat = Seat(doors.own, seated, fleet.observe)
    fronts = await open_fronts(settings, resources, control, tracing, log, seat)
    await doors.open(fronts)
    duties.fronts = fronts
    await duties.announce()
    duties.listens.set()
    return fronts, doors


def _no_loads() -> dict[str, int]:
    """They are the supervisor's to count."""
    return {"success": 0, "failure": 0}


async def _obey(channel: Channel) -> None:
    await channel.serve()
    # Nobody is left to say what serves, and nobody to start this one again.
    os._exit(1)


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _on_signal(number: int, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    stopping.set()
