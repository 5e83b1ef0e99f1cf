"""First runs: a model file is inspected, built and run in a child process before the server opens it.

Building or running a graph can crash the process (an integer division of the smallest number by -1 does),
loop, or take all memory. In a child that is a reason on one model; in the server it would be everyone's end.
"""

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from onnxd.errors import LoadFailed
from onnxd.runtime.child_process import out_of_memory
from onnxd.runtime.examination_names import SPARING
from onnxd.runtime.graph import GraphSpec
from onnxd.runtime.provider_errors import cause_in
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial_messages import (
    DIED,
    EXAMINING,
    TrialReport,
    TrialRequest,
    report_from_json,
    request_to_json,
)
from onnxd.runtime.trial_process import ChildGone, TrialProcess
from onnxd.units import Bytes, Seconds

_TRIALS_PER_CHILD: Final = 100
"""What leaks in a process that builds session after session goes with it."""


@dataclass(frozen=True)
class TrialLimits:
    """What one trial may take."""

    memory: Bytes = 4 * 2**30
    """Private memory on top of the idle child's; -1 = no limit. Building a session takes several times the
    size of the weights."""
    cpu: Seconds = 60.0
    """CPU time of all its threads together."""
    wall: Seconds = 120.0
    """Time by the clock, the waiting for files and for the CPU included."""


class _EndedExamining(Exception):
    """The child ended in an examination, or had to be ended."""

    def __init__(self, message: str, examination: str) -> None:
        super().__init__(message)
        self.message = message
        self.examination = examination


class TrialRoom:
    """The children and who may use them. Leaving the context ends every child.

    A child is reused, since starting one costs about half a second of imports; it is replaced after any
    failure, after a hundred trials, and ended when it has been idle for a while.
    """

    def __init__(self, limits: TrialLimits | None = None, *, parallel: int = 2, idle_s: float = 10.0) -> None:
        """At most `parallel` trials at once; the next ones wait."""
        self._limits = limits or TrialLimits()
        self._idle_s = idle_s
        self._parallel = parallel
        self._slots = asyncio.Semaphore(parallel)
        self._closed = False
        self._idle: dict[TrialProcess, asyncio.TimerHandle] = {}
        self._others: set[TrialProcess] = set()
        """At work, or told to end and not yet waited for."""

    @property
    def pids(self) -> frozenset[int]:
        """Of the children that are running."""
        return frozenset(child.pid for child in (*self._idle, *self._others) if child.is_running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for child in self._others:
            child.kill()
        for _ in range(self._parallel):  # a trial that was under way now fails, and gives its slot back
            await self._slots.acquire()
        for child in tuple(self._idle):
            self._expire(child)
        while self._others:
            await self._others.pop().end()

    async def inspect(self, path: Path, session: SessionConfig, threads: int = 0) -> GraphSpec:
        """Builds the session and says what the graph declares. Raises LoadFailed.

        The child keeps the session for a `rehearse` with the same arguments, which usually follows.
        """
        request = TrialRequest(path, session, threads)
        return (await self._try(request, run=False)).graph

    async def rehearse(self, request: TrialRequest) -> TrialReport:
        """Builds the session, unless an inspection just has, and runs the warm-up. Raises LoadFailed.

        One of the SPARING examinations that ends the child is a finding: the rest is tried again without it.
        """
        try:
            return await self._try(request, run=True)
        except _EndedExamining as end:
            others = {name: asked for name, asked in request.examinations.items() if name != end.examination}
            report = await self.rehearse(dataclasses.replace(request, examinations=others))
            findings = {**report.findings, end.examination: {DIED: end.message}}
            return dataclasses.replace(report, findings=findings)

    async def _try(self, request: TrialRequest, *, run: bool) -> TrialReport:
        request = dataclasses.replace(request, path=request.path.absolute())
        document = {
            **request_to_json(request),
            "run": run,
            "memory_bytes": self._limits.memory,
            "cpu_s": self._limits.cpu,
        }
        name = request.path.name
        async with self._slots:
            if self._closed:
                raise LoadFailed(f"{name}: not tried, the server is shutting down")
            await self._reap()
            child, answer = await self._ask(request.path, document, name)
            cause = cause_in(child.take_errors()) or child.cause
            child.cause = "" if run else cause
            if "report" not in answer or child.trials >= _TRIALS_PER_CHILD:
                await child.end()
            else:
                child.holds = None if run else request.path
                loop = asyncio.get_running_loop()
                self._idle[child] = loop.call_later(self._idle_s, self._expire, child)
            self._others.discard(child)
        if "report" not in answer:
            raise LoadFailed(self._refusal(answer, name) + (f"; {cause}" if cause else ""))
        try:
            report = report_from_json(answer["report"])
        except (KeyError, TypeError, ValueError) as error:
            raise LoadFailed(f"{name}: its trial gave an answer that cannot be read") from error
        return dataclasses.replace(report, notes=(*report.notes, cause)) if report.notes and cause else report

    async def _ask(
        self, path: Path, document: dict[str, Any], name: str
    ) -> tuple[TrialProcess, dict[str, Any]]:
        while True:
            try:
                child = self._take(path) or await TrialProcess.spawn()
            except OSError as error:
                raise LoadFailed(
                    f"{name}: no process could be started to try it: {error.strerror}"
                ) from error
            self._others.add(child)
            try:
                return child, await child.ask(document, self._limits.wall)
            except ChildGone:
                self._others.discard(child)  # it died while nobody used it; a fresh one is never gone
            except LoadFailed as error:
                self._others.discard(child)
                text = f"{name}: {error.message}"
                if child.phase.removeprefix(EXAMINING) in SPARING:
                    raise _EndedExamining(text, child.phase.removeprefix(EXAMINING)) from error
                raise LoadFailed(text) from error

    def _take(self, path: Path) -> TrialProcess | None:
        """The idle child that holds this file's session, or any other."""
        child = next((child for child in self._idle if child.holds == path), None)
        child = child or next(iter(self._idle), None)
        if child is not None:
            self._idle.pop(child).cancel()
        return child

    def _expire(self, child: TrialProcess) -> None:
        self._idle.pop(child).cancel()
        child.retire()
        self._others.add(child)

    async def _reap(self) -> None:
        """Frees what is left of children that have ended by themselves."""
        for child in [child for child in self._others if not child.is_running]:
            self._others.discard(child)
            await child.end()

    def _refusal(self, answer: dict[str, Any], name: str) -> str:
        if answer.get("out_of_memory"):
            return f"{name}: {out_of_memory(self._limits.memory)}"
        return str(answer.get("refused"))
