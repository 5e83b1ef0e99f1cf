"""What each loaded version takes of memory, what is left of the budget, and what came back.

A version is measured in its trial: a process that does nothing else says how far building and running it
raised the memory. In the server the same would be a difference between two looks at a process that answers
requests meanwhile; that is how it has to be for what an unload brings back, which is therefore a rough
figure.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final, TypeVar

import structlog

from onnxd.errors import LoadFailed
from onnxd.runtime.memory import container_limit, give_back, resident_bytes
from onnxd.units import Bytes, size_text

ESTIMATE: Final = 2.5
"""Loading takes about so many times the files' size at its peak, before it is known better."""
_CONTAINER_SHARE: Final = 0.75
"""The rest is for the interpreter, for requests, and for the trials, which run beside."""
_REMEMBERED: Final = 4096
_NAMED: Final = 8

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """The memory of all models together."""

    budget: Bytes | None = None
    """What models may hold, those being loaded included; a load that would not fit is refused. Unset = three
    quarters of the container's limit where it has one, else no bound; -1 = no bound."""

    def budget_bytes(self) -> int:
        """-1 = no bound."""
        if self.budget is not None:
            return self.budget
        limit = container_limit()
        return -1 if limit is None else int(limit * _CONTAINER_SHARE)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Of one version, all of its sessions together, in bytes; None = not known."""

    peak_bytes: int | None = None
    """At most, while it was loaded."""
    resident_bytes: int | None = None
    """What it holds once it is loaded and warm."""
    returned_bytes: int | None = None
    """How much smaller the server was after the last unload under this number."""

    def known(self) -> dict[str, int]:
        return {name: size for name, size in asdict(self).items() if size is not None}


NOT_KNOWN: Final = MemoryUse()


@dataclass(slots=True, eq=False)
class Holding:
    """One version's place in the budget, from before its load until its memory is back."""

    model: str
    version: int
    sessions: int
    needs_bytes: int
    """Counted against the budget: its peak until it is loaded, then what it holds."""
    use: MemoryUse = NOT_KNOWN
    resident_before: int | None = None
    """Of the server, when the unload began."""
    apart_bytes: int = 0
    """Of its own processes at that moment: it is all back when they have ended."""

    @property
    def key(self) -> tuple[str, int]:
        return self.model, self.version

    def __str__(self) -> str:
        return f"{self.model} version {self.version} {size_text(self.needs_bytes)}"


class MemoryLedger:
    """Who holds how much. Belongs to the loop's thread."""

    def __init__(self, budget: int = -1) -> None:
        """`budget` in bytes; -1 = no bound."""
        self.budget: Final = budget
        self.returned_bytes = 0
        """By all unloads so far."""
        self._holdings: list[Holding] = []
        self._loaded: dict[tuple[str, int], Holding] = {}
        self._measured: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Peak and resident of one session, by the identity of what it was built from."""
        self._returned: OrderedDict[tuple[str, int], int] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """What models hold, and what those being loaded need at most."""
        return sum(holding.needs_bytes for holding in self._holdings)

    def use(self, model: str, version: int) -> MemoryUse:
        """What is known of a version, loaded or not."""
        holding = self._loaded.get((model, version))
        use = NOT_KNOWN if holding is None else holding.use
        return replace(use, returned_bytes=self._returned.get((model, version)))

    @asynccontextmanager
    async def hold(
        self, model: str, version: int, identity: str, *, files_bytes: int, sessions: int
    ) -> AsyncIterator[Holding]:
        """A version's place in the budget, from before its load until its memory is back.

        Raises LoadFailed when it does not fit, judged by what the same content was measured to need, else by
        the size of its files.
        """
        if (measured := self._measured.get(identity)) is not None:
            needs, source = _peak(*measured, sessions), "as it was measured before"
        else:
            needs = _peak(int(files_bytes * ESTIMATE), files_bytes, sessions)
            source = f"{ESTIMATE:g} times its files of {size_text(files_bytes)}"
        holding = Holding(model, version, sessions, 0)
        self._admit(holding, needs, source)
        self._holdings.append(holding)
        try:
            yield holding
        finally:
            try:
                await asyncio.to_thread(give_back)
            finally:
                self._settle(holding)

    def measured(self, holding: Holding, identity: str, peak: int, resident: int) -> None:
        """What the trial found for one session. Raises LoadFailed when that does not fit."""
        _remember(self._measured, identity, (peak, resident))
        needs = _peak(peak, resident, holding.sessions)
        self._admit(holding, needs, "as its trial has shown")
        holding.use = MemoryUse(needs, resident * holding.sessions)

    def loaded(self, holding: Holding) -> None:
        """It is built and warm: from now on it holds less than it needed."""
        holding.needs_bytes = holding.use.resident_bytes or 0
        self._loaded[holding.key] = holding

    @staticmethod
    def closing(holding: Holding, apart_bytes: int = 0) -> None:
        """Its sessions are about to be closed. `apart_bytes` are resident in processes of its own."""
        holding.resident_before = resident_bytes()
        holding.apart_bytes = apart_bytes

    def __str__(self) -> str:
        """1.5 GiB for models: digits version 1 12 MiB"""
        bound = "no budget" if self.budget < 0 else size_text(self.budget)
        return f"{bound} for models: {_by_whom(self._holdings)}"

    def _admit(self, holding: Holding, needs: int, source: str) -> None:
        others = [other for other in self._holdings if other is not holding]
        used = sum(other.needs_bytes for other in others)
        if 0 <= self.budget < used + needs:
            raise LoadFailed(
                f"it does not fit into memory: it needs about {size_text(needs)} ({source}), models may hold "
                f"{size_text(self.budget)} (the setting memory.budget), and in use are {size_text(used)}: "
                f"{_by_whom(others)}; unload a model, or raise the budget"
            )
        holding.needs_bytes = needs

    def _settle(self, holding: Holding) -> None:
        self._holdings.remove(holding)
        if self._loaded.get(holding.key) is holding:
            del self._loaded[holding.key]
        if holding.resident_before is None:
            return  # it never served
        here = max(0, holding.resident_before - resident_bytes())
        for other in self._holdings:  # unloads that overlap: what came back is counted once
            if other.resident_before is not None:
                other.resident_before -= here
        returned = here + holding.apart_bytes
        self.returned_bytes += returned
        _remember(self._returned, holding.key, returned)
        _log.info(
            "memory returned", model=holding.model, version=holding.version, returned=size_text(returned)
        )


def _peak(one: int, resident: int, sessions: int) -> int:
    """Of several sessions that are built one after the other."""
    return one + resident * (sessions - 1)


def _by_whom(holdings: Sequence[Holding]) -> str:
    largest = sorted(holdings, key=lambda holding: -holding.needs_bytes)
    named = ", ".join(map(str, largest[:_NAMED]))
    return f"{named} and {len(largest) - _NAMED} more" if len(largest) > _NAMED else named or "none is loaded"


def _remember(known: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
