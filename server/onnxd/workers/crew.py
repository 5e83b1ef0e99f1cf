"""All workers as the supervisor sees them: what they have been told, and what they answer.

What serves is told to all of them, in one order. A worker that starts is first brought to where the others
are, and only then listens. One that cannot follow is ended, and starts anew: so their states converge.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from onnxd.errors import LoadFailed, ServerError
from onnxd.telemetry.observation import Observation
from onnxd.workers.channel import Channel, Document, Gone
from onnxd.workers.cover import covering
from onnxd.workers.orders import ModelOrder, Prepare
from onnxd.workers.relay import from_json, to_json
from onnxd.workers.standing import REGISTER, UNREGISTER, Standing
from onnxd.workers.totals import Report, Totals

PREPARE_S: Final = 600.0
"""A worker may take so long to build a version that a trial has built before."""
_DISCARD_S: Final = 90.0
_REPORT_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Member:
    """One worker, from when it answers until it has ended."""

    number: int
    channel: Channel
    kill: Callable[[str, str], None]
    """Ends it: the kind of end that this is, and a sentence."""
    known: set[int] = field(default_factory=set)
    """The loads that it was told to prepare."""
    in_step: bool = False
    """It has been told what serves, and hears of each change."""
    listening: bool = False
    covers: set[int] = field(default_factory=set)
    """Workers in whose place it accepts as well."""


class Crew:
    """Belongs to the loop's thread."""

    def __init__(self, count: int, *, follow_s: float = 30.0) -> None:
        """`follow_s`: how long a worker has to do what it is told; then it is ended."""
        self.count: Final = count
        self._follow_s = follow_s
        self.members: Final[dict[int, Member]] = {}
        self.opened = False
        """What the repository held at the start is loaded."""
        self.awaited: Callable[[], str] = str
        """What a repository that lies elsewhere waits for before the first load; "" = nothing."""
        self.stopping = False
        self.changed: Final = asyncio.Condition()
        """Notified when a worker listens, or has ended."""
        self._prepared: dict[int, Prepare] = {}
        self._models: dict[str, ModelOrder] = {}
        self._standing = Standing()
        self._changing = asyncio.Lock()
        self._totals = Totals()
        self._untold: dict[asyncio.Future[Document], Member] = {}
        """What workers have been told and have not confirmed."""

    @property
    def whole(self) -> bool:
        """Every worker is there and serves."""
        return self.opened and sum(member.listening for member in self.members.values()) == self.count

    # Workers come and go.

    async def admit(self, member: Member) -> None:
        """Bring a new worker to where the others are, and have it listen. Raises Gone, TimeoutError, and
        ServerError for what it cannot do."""
        self.members[member.number] = member
        async with self.changed:
            self.changed.notify_all()
        while not member.in_step:
            for order in self._missing(member):
                await self._answer(self._post_prepare(member, order), PREPARE_S)
            async with self._changing:
                if not self._missing(member):
                    self._bring_in_step(member)
        await member.channel.ask("listen", {"open": self.opened}, within_s=PREPARE_S)
        member.listening = True
        await self._arranged()

    def _missing(self, member: Member) -> list[Prepare]:
        return [order for load, order in self._prepared.items() if load not in member.known]

    def _bring_in_step(self, member: Member) -> None:
        """Without a wait: nothing can change in between."""
        for order in self._models.values():
            self._tell(member, "model", to_json(ModelOrder, order))
        for what, change in self._standing.changes():
            member.channel.post(what, change)
        member.in_step = True

    async def withdraw(self, member: Member) -> Document:
        """It is about to drain, and accepts no more; it still hears of changes."""
        member.listening = False
        member.covers = set()
        await self._arranged()
        return {}

    async def leave(self, member: Member) -> None:
        """It has ended."""
        if self.members.get(member.number) is member:
            del self.members[member.number]
        self._totals.end(member.number)
        await self._arranged()

    async def open(self) -> None:
        """Requests are welcome, now that it is known what there is."""
        self.opened = True
        self.tell("open")
        await self._arranged()

    def is_stopping(self) -> bool:
        """The same as the attribute, for those who look again after a wait."""
        return self.stopping

    def begin_drain(self) -> None:
        self.stopping = True
        for member in self.members.values():
            self._tell(member, "drain")

    async def _arranged(self) -> None:
        """Tell all whether the server is whole, and who accepts for those that are away."""
        if not self.stopping:
            self.tell_whole()
            listening = [number for number, member in self.members.items() if member.listening]
            wanted = covering(listening, self.count)
            for change in ("cover", "uncover"):  # in this order: nobody is left without
                for member in self.members.values():
                    covers = {away for away, by in wanted.items() if by == member.number}
                    differs = covers - member.covers if change == "cover" else member.covers - covers
                    for away in differs if member.listening else ():
                        self._tell(member, change, {"worker": away})
                    member.covers = member.covers | covers if change == "cover" else covers
        async with self.changed:
            self.changed.notify_all()

    # The repository.

    async def prepare(self, order: Prepare) -> None:
        """Have everybody build a version. Raises LoadFailed when one of them cannot."""
        await self._all_begun()
        self._prepared[order.load] = order
        sent = [
            (member, self._post_prepare(member, order))
            for member in self.members.values()
            if order.load not in member.known
        ]
        failures = []
        for member, answer in sent:
            try:
                await self._answer(answer, PREPARE_S)
            except ServerError as error:
                failures.append(error.message)
            except Gone:
                if not await self._successor_has(member, order.load):
                    failures.append(f"worker {member.number} and its successor have ended while loading it")
            except TimeoutError:
                failures.append(f"worker {member.number} has not loaded it within {PREPARE_S:g} s")
                member.kill("silent", "it did not answer in time, and was killed")
        if failures:
            raise LoadFailed("; ".join(dict.fromkeys(failures)))

    async def _all_begun(self) -> None:
        """At the start a model waits for all workers, so that what fails is its load and not a worker."""
        async with self.changed:
            while not self.opened and not self.stopping and len(self.members) < self.count:
                await self.changed.wait()

    async def _successor_has(self, ended: Member, load: int) -> bool:
        """Whether whoever takes the place of one that has ended builds the version, as it has to before it
        listens. If it ends too, that is the version's doing. True while the server stops."""
        successor: Member | None = None
        async with asyncio.timeout(PREPARE_S), self.changed:
            while not self.is_stopping():
                now = self.members.get(ended.number)
                if successor is not None and now is not successor:
                    return False
                if now is not None and now is not ended:
                    successor = now
                    if now.listening:
                        return load in now.known
                await self.changed.wait()
        return True

    async def discard(self, load: int) -> None:
        """Have everybody let go of a version, once its last request has ended; wait for that."""
        self._prepared.pop(load, None)
        sent = [
            member.channel.post("discard", {"load": load})
            for member in self.members.values()
            if load in member.known
        ]
        if sent:
            await asyncio.wait(sent, timeout=_DISCARD_S)
        for member in self.members.values():
            member.known.discard(load)

    def reconfigure(self, load: int, settings: str, identity: str) -> None:
        """A version goes on with another config, of which `settings` is the copy."""
        order = self._prepared[load]
        self._prepared[load] = replace(
            order, settings=settings, settings_identity=settings, identity=identity, config=None
        )
        self.tell("reconfigure", {"load": load, "settings": settings, "identity": identity})

    def set_model(self, order: ModelOrder) -> None:
        self._models[order.name] = order
        self.tell("model", to_json(ModelOrder, order))

    def forget_model(self, name: str) -> None:
        self._models.pop(name, None)
        self.tell("forget", {"name": name})

    def broken(self, load: int) -> str:
        """Why a version no longer answers in one of the workers; empty = it answers in all."""
        for worker, (broken, reason) in self._totals.broken():
            if broken == load:
                return f"in worker {worker}: {reason}"
        return ""

    # What is told, and asked.

    def tell_whole(self) -> None:
        """Whether the server is ready as a whole, and what it waits for."""
        self.tell("whole", {"whole": self.whole, "awaited": "" if self.opened else self.awaited()})

    def tell(self, what: str, document: Document | None = None) -> None:
        """Everybody who is in step; `settled` waits until they have done it."""
        for member in self.members.values():
            if member.in_step:
                self._tell(member, what, document)

    async def settled(self) -> None:
        """Wait until everybody has done what they have been told so far. Who cannot is ended."""
        if self._untold:
            _, late = await asyncio.wait(tuple(self._untold), timeout=self._follow_s)
            for answer in late:
                if (member := self._untold.pop(answer, None)) is not None:
                    member.kill("silent", "it did not answer in time, and was killed")

    async def change(self, what: str, document: Document) -> None:
        """A change by a client, in all workers or, if one of them fails, in none. Raises what it raised."""
        async with self._changing:
            outcomes = await self.everyone(what, document, within_s=self._follow_s)
            failures = [outcome for outcome in outcomes if isinstance(outcome, ServerError)]
            if not failures:
                self._standing.note(what, document)
                return
            if what == REGISTER and len(failures) < len(outcomes):
                await self.everyone(UNREGISTER, document, within_s=self._follow_s)
            raise failures[0]

    async def everyone(
        self, what: str, document: Document | None = None, *, within_s: float
    ) -> Sequence[Document | ServerError]:
        """What each worker that listens answers. Those that end meanwhile are left out; one that does not
        answer in time is ended."""
        sent = [(each, each.channel.post(what, document)) for each in self.members.values() if each.in_step]
        outcomes: list[Document | ServerError] = []
        for member, answer in sent:
            try:
                outcomes.append(await self._answer(answer, within_s))
            except ServerError as error:
                outcomes.append(error)
            except Gone:
                continue
            except TimeoutError:
                member.kill("silent", "it did not answer in time, and was killed")
        return outcomes

    async def look(self) -> None:
        """Have all reports as they are now; of who does not answer soon, the last one counts."""
        sent = {each.number: each.channel.post("report") for each in self.members.values() if each.listening}
        if not sent:
            return
        await asyncio.wait(sent.values(), timeout=_REPORT_S)
        for number, answer in sent.items():
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                self.note(number, answer.result())

    def note(self, worker: int, report: Document) -> None:
        """A worker's report. It is ended for one that is none."""
        try:
            self._totals.note(worker, from_json(Report, report))
        except ValueError as error:
            _log.error("a worker's report cannot be read", worker=worker, reason=str(error))
            if worker in self.members:
                self.members[worker].kill("other", "its reports cannot be read")

    def observed(self, own: Observation) -> Observation:
        """What all have seen as of the last look; `own` is what the supervisor has."""
        served = {
            (name, number): load
            for name, order in self._models.items()
            for number, load in order.served.items()
        }
        return self._totals.together(own, served)

    def silent(self, now_s: float, most_s: float) -> Iterable[Member]:
        """Those that have not said anything for so long."""
        return [each for each in self.members.values() if now_s - each.channel.heard_s > most_s]

    def _post_prepare(self, member: Member, order: Prepare) -> asyncio.Future[Document]:
        member.known.add(order.load)
        return member.channel.post("prepare", to_json(Prepare, order))

    def _tell(self, member: Member, what: str, document: Document | None = None) -> None:
        answer = member.channel.post(what, document)
        self._untold[answer] = member

        def confirmed(answer: asyncio.Future[Document]) -> None:
            self._untold.pop(answer, None)
            if not answer.cancelled() and not isinstance(error := answer.exception(), Gone | None):
                member.kill("other", f"it could not follow the others ({what}): {error}")

        answer.add_done_callback(confirmed)

    @staticmethod
    async def _answer(answer: asyncio.Future[Document], within_s: float) -> Document:
        async with asyncio.timeout(within_s):
            return await answer
