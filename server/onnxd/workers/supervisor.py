"""The process over several workers: it binds the ports, decides what serves, and starts what dies again.

It answers no client itself. Workers ask it what concerns all of them, over a socket pair each.
"""

import asyncio
import platform
import socket
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import structlog

from onnxd.repository.catalog import IndexEntry
from onnxd.repository.lifecycle import Lifecycle
from onnxd.runtime.ort import onnxruntime
from onnxd.settings.server_settings import ServerSettings
from onnxd.telemetry.export_counts import ExportCounts
from onnxd.telemetry.machine import MachineMeter, read_process
from onnxd.telemetry.observation import WORKER_ENDS, Observation, StorageObservation
from onnxd.workers.channel import Answer, Channel, Document, Gone
from onnxd.workers.count import of_one_worker
from onnxd.workers.crew import Crew, Member
from onnxd.workers.deaths import MOST_DEATHS, WITHIN_S, Deaths
from onnxd.workers.failures import WorkersFailed
from onnxd.workers.nursery import Forked
from onnxd.workers.orders import Brought
from onnxd.workers.process import End, Nursery, WorkerProcess
from onnxd.workers.relay import from_json, to_json
from onnxd.workers.remote import pick_up
from onnxd.workers.sockets import SharedPorts
from onnxd.workers.worker import Begin

_LOOK_EVERY_S: Final = 2.0
_MOST_SILENCE_S: Final = 30.0
_START_S: Final = 120.0
_OTHER_DELAY_S: Final = 0.1
"""Before a worker is replaced that has drained, or has ended with its nursery."""
_LEAVE_S: Final = 10.0
_BATCHING_S: Final = 10.0
_AFTER_DRAIN_S: Final = 15.0
"""What a worker has to end in, beyond the drain's own times."""

_log = structlog.get_logger(__name__)


class Workers:
    """An async context manager: the workers run while it is open. Leave it after `drain`, or they are killed.

    Raises WorkersFailed, in a group, when they die too often.
    """

    def __init__(
        self,
        settings: ServerSettings,
        crew: Crew,
        ports: SharedPorts,
        lifecycle: Lifecycle,
        nursery: Forked | None = None,
        storage: Callable[[], tuple[StorageObservation, ...]] = tuple,
    ) -> None:
        """`nursery`: where they are forked from; None = it is started. `storage`: what is seen of object
        stores, which the supervisor alone keeps up with."""
        self._storage = storage
        self._settings = settings
        self._crew = crew
        self._ports = ports
        self._lifecycle = lifecycle
        self._deaths = Deaths()
        self._restarted = dict.fromkeys(WORKER_ENDS, 0)
        self._meter = MachineMeter()
        self.exports: Final = ExportCounts()
        """Of the metrics that are sent."""
        self._tasks = asyncio.TaskGroup()
        self._descriptors = ports.descriptors()
        inherited = (each for rows in self._descriptors.values() for row in rows for each in row)
        self._nursery = Nursery(inherited, nursery)
        self._running: dict[int, WorkerProcess] = {}
        self._refusals: dict[int, str] = {}
        self._keeping: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._nursery.__aenter__()
        await self._tasks.__aenter__()
        self._watching = self._tasks.create_task(self._watch(), name="watch workers")
        for number in range(self._crew.count):
            self._keeping.append(self._tasks.create_task(self._keep(number), name=f"worker {number}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._crew.stopping = True
        self._watching.cancel()
        for process in self._running.values():
            process.kill("other", "the server ends")
        for keeping in self._keeping:
            keeping.cancel()
        try:
            if isinstance(error, asyncio.CancelledError):
                await self._tasks.__aexit__(kind, error, traceback)
            else:
                await self._tasks.__aexit__(None, None, None)
        finally:
            await self._nursery.__aexit__(None, None, None)

    @property
    def pids(self) -> dict[int, int]:
        """By worker."""
        return {number: process.pid for number, process in self._running.items()}

    async def all_listen(self) -> None:
        """Wait for every worker's first time. Raises WorkersFailed."""
        try:
            async with asyncio.timeout(_START_S), self._crew.changed:
                while sum(member.listening for member in self._crew.members.values()) < self._crew.count:
                    await self._crew.changed.wait()
        except TimeoutError as error:
            raise WorkersFailed(f"the workers have not started within {_START_S:g} s") from error

    async def drain(self) -> None:
        """Have every worker drain, and wait for their ends. The ports are given up."""
        self._crew.begin_drain()
        self._nursery.close_inherited()
        self._ports.close()
        for number, keeping in enumerate(self._keeping):
            if number not in self._running:
                keeping.cancel()
            elif number not in self._crew.members:
                self._running[number].kill("other", "the server ends")
        drain = self._settings.drain
        _, late = await asyncio.wait(self._keeping, timeout=drain.linger + drain.grace + _AFTER_DRAIN_S)
        if late:
            _log.warning("workers do not end and are killed", workers=len(late))

    async def observe(self) -> Observation:
        """What all have seen, and use."""
        await self._crew.look()
        process = await asyncio.to_thread(read_process)
        return self._crew.observed(replace(self._own(), process=process, machine=self._meter.read()))

    def last_seen(self) -> Observation:
        """The same as of the last look, which is not long ago, without what they use."""
        return replace(self._crew.observed(self._own()), process=None, machine=None)

    def _own(self) -> Observation:
        return Observation(
            build={
                "version": version("onnxd"),
                "onnxruntime": onnxruntime.__version__,
                "python": platform.python_version(),
            },
            versions=(),
            in_flight=0,
            refused={},
            loads=self._lifecycle.loads.copy(),
            workers_restarted=self._restarted.copy(),
            metric_exports=self.exports.snapshot(),
            storage=self._storage(),
        )

    # One worker after the other, under one number.

    async def _keep(self, number: int) -> None:
        while not self._crew.is_stopping():
            end = await self._life(number)
            if self._crew.is_stopping():
                return
            self._restarted[end.kind] += 1
            refusal = self._refusals.pop(number, "")
            if refusal and not self._crew.opened:
                raise WorkersFailed(refusal)
            if refusal:
                end = End(end.kind, f"it cannot start: {refusal}")
            delay_s = self._delay_s(end)
            if delay_s is None:
                _log.critical("workers die too often", worker=number, reason=end.text)
                raise WorkersFailed(
                    f"{MOST_DEATHS} workers have died within {WITHIN_S:g} s, the last of them, worker "
                    f"{number}, because {end.text}; the server ends"
                )
            _log.warning("worker ended and is started again", worker=number, reason=end.text, in_s=delay_s)
            await asyncio.sleep(delay_s)

    def _delay_s(self, end: End) -> float | None:
        if end.kind == "drained" or not end.its_own:
            return _OTHER_DELAY_S
        return self._deaths.note(asyncio.get_running_loop().time())

    async def _life(self, number: int) -> End:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await self._nursery.fork(number, theirs)
        except OSError as error:  # TimeoutError is one
            ours.close()
            return End("other", f"it could not be started: {error!r}")
        finally:
            theirs.close()
        self._running[number] = process
        member = Member(number, Channel(ours, lambda what, document: None), process.kill)
        member.channel = Channel(ours, lambda what, document: self._answer(member, what, document))
        try:
            async with member.channel as channel, asyncio.TaskGroup() as tasks:
                settings = of_one_worker(self._settings, self._crew.count)
                begin = to_json(Begin, Begin(settings, self._descriptors))
                admitting = tasks.create_task(self._admit(member, begin))
                await channel.serve()
                admitting.cancel()
            try:
                async with asyncio.timeout(_LEAVE_S):
                    return await process.end()
            except TimeoutError:
                process.kill("other", "it had closed its side, and did not end")
                return await process.end()
        finally:
            process.kill("other", "it has closed its side")
            await self._crew.leave(member)
            del self._running[number]

    async def _admit(self, member: Member, begin: Document) -> None:
        try:
            await member.channel.ask("begin", begin, within_s=_START_S)
        except Gone:
            pass  # its end says why
        except TimeoutError:
            member.kill("silent", "it has not begun, and was killed")

    async def _bring_up(self, member: Member) -> None:
        try:
            await self._crew.admit(member)
        except Gone:
            pass  # its end says why
        except Exception as error:  # whatever it cannot do: it is not fit to serve beside the others
            member.kill("other", f"it could not be brought to where the others are: {error}")

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._crew.look()
            if not self._crew.opened:
                self._crew.tell_whole()
            for member in self._crew.silent(loop.time(), _MOST_SILENCE_S):
                member.kill("silent", f"it has said nothing for {_MOST_SILENCE_S:g} s, and was killed")

    # What workers ask.

    def _answer(self, member: Member, what: str, document: Document) -> Answer:
        match what:
            case "begun" if not self._crew.stopping:
                self._tasks.create_task(self._bring_up(member))
            case "leaving":
                return self._crew.withdraw(member)
            case "farewell":
                self._crew.note(member.number, document["report"])
            case "refused":
                self._refusals[member.number] = document["reason"]
            case _:
                return self._for_client(what, document)
        return None

    async def _for_client(self, what: str, document: Document) -> Document:
        return {"answer": await self._answer_of(what, document)}

    async def _answer_of(self, what: str, document: Document) -> Any:
        name = document.get("name", "")
        match what:
            case "index":
                await self._crew.look()
                return to_json(tuple[IndexEntry, ...], await self._lifecycle.index())
            case "load":
                await self._load(name, document.get("brought"))
            case "rollback":
                await self._lifecycle.rollback(name)
            case "unload":
                await self._lifecycle.unload(name)
            case "observe":
                return to_json(Observation, await self.observe())
            case "batching":
                reports = await self._crew.everyone(what, document, within_s=_BATCHING_S)
                return [each["report"] for each in reports if isinstance(each, dict)]
            case "change":
                await self._crew.change(document["what"], document["with"])
            case _:
                raise ValueError(f"the supervisor does not know what '{what}' is")
        await self._crew.settled()
        return None

    async def _load(self, name: str, brought: Document | None) -> None:
        if brought is None:
            await self._lifecycle.load(name)
            return
        given = await asyncio.to_thread(pick_up, from_json(Brought, brought))
        await self._lifecycle.load(name, given)
