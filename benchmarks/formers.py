"""Batch formers to compare the server's with."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from benchmarks.simulation import Former
from onnxd.errors import DeadlineExceeded
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.clock import Clock, Timer
from onnxd.scheduler.item import BucketKey, Item
from onnxd.scheduler.runner import Runner, RunResult
from onnxd.tensors import Array

_BUCKET: Final[BucketKey] = ()


@dataclass(frozen=True, slots=True)
class WindowAtPickUp:
    """The window begins when an instance takes the first request, however long that one has waited."""

    window_s: float

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former:
        return _PickUp(runners, max_rows, clock, self.window_s)


class Waiting(ABC):
    """What they have in common: a queue, instances, answers."""

    def __init__(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> None:
        self.idle = list(runners)
        self.runners = len(runners)
        self.max_rows = max_rows
        self.clock = clock
        self.waiting: deque[Item] = deque()
        self._form = Rows()

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        future: asyncio.Future[Mapping[str, Array]] = asyncio.get_running_loop().create_future()
        self.waiting.append(Item(request, rows, outputs, _BUCKET, self.clock.now_s(), future))
        self.look(freed=False)
        return await future

    @abstractmethod
    def look(self, *, freed: bool) -> None:
        """Something has arrived, or an instance is free."""

    def run(self, runner: Runner, items: list[Item]) -> None:
        runner.start(self._form.stack(items), items[0].outputs, partial(self._ended, runner, items))

    def _ended(self, runner: Runner, items: list[Item], result: RunResult) -> None:
        self.idle.append(runner)
        now_s = self.clock.now_s()
        for item in items:
            deadline_s = item.request.deadline_s
            if deadline_s is not None and deadline_s < now_s:
                item.future.set_exception(DeadlineExceeded("answered too late"))
            else:
                item.future.set_result({})
        self.look(freed=True)


@dataclass(slots=True, eq=False)
class _Window:
    """An instance that collects a batch."""

    runner: Runner
    items: list[Item] = field(default_factory=list)
    rows: int = 0
    timer: Timer | None = None


class _PickUp(Waiting):
    def __init__(self, runners: Sequence[Runner], max_rows: int, clock: Clock, window_s: float) -> None:
        super().__init__(runners, max_rows, clock)
        self._window_s = window_s
        self._open: deque[_Window] = deque()

    def look(self, *, freed: bool) -> None:
        while self.waiting and (self._open or self.idle):
            if not self._open:
                window = _Window(self.idle.pop())
                end_s = self.clock.now_s() + self._window_s
                window.timer = self.clock.call_at(end_s, partial(self._close, window))
                self._open.append(window)
            window = self._open[0]
            if window.rows + self.waiting[0].rows > self.max_rows:
                self._close(window)
                continue
            item = self.waiting.popleft()
            window.items.append(item)
            window.rows += item.rows
            if window.rows == self.max_rows:
                self._close(window)

    def _close(self, window: _Window) -> None:
        if window.timer is not None:
            window.timer.cancel()
        self._open.remove(window)
        self.run(window.runner, window.items)
