"""Batch formers to compare the server's with."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from benchmarks.simulation import Former
from onnxd.errors import DeadlineExceeded
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.capacity import Waiting, answer_in_s, check_attainable, is_lost, row_cap
from onnxd.scheduler.clock import Clock, Timer
from onnxd.scheduler.policy import Hold, decide
from onnxd.scheduler.queue import BucketKey, Item
from onnxd.scheduler.runner import Runner, RunResult
from onnxd.scheduler.service_time import Fit, ServiceTimes
from onnxd.tensors import Array

_BUCKET: Final[BucketKey] = ()


@dataclass(frozen=True, slots=True)
class WindowAtPickUp:
    """The window begins when an instance takes the first request, however long that one has waited."""

    window_s: float

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former:
        return _PickUp(runners, max_rows, clock, self.window_s)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Batch while busy, with the caps and refusals that follow from the run times it sees."""

    warm_up: Mapping[int, float] = field(default_factory=dict)
    """Rows -> seconds of the runs at load."""

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former:
        times = ServiceTimes(max_rows=max_rows)
        for rows, seconds in self.warm_up.items():
            times.note(_BUCKET, rows, seconds, clock.now_s())
        return _Fitted(runners, max_rows, clock, times)


class _Former:
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
        self.admit(request, rows)
        self.waiting.append(Item(request, rows, outputs, _BUCKET, self.clock.now_s(), future))
        self.look(freed=False)
        return await future

    def admit(self, request: InferRequest, rows: int) -> None:
        """Raises for what is not to wait at all."""

    def look(self, *, freed: bool) -> None:
        """Something has arrived, or an instance is free."""
        raise NotImplementedError

    def noted(self, rows: int, seconds: float) -> None:
        """A run has ended."""

    def run(self, runner: Runner, items: list[Item]) -> None:
        runner.start(self._form.stack(items), items[0].outputs, partial(self._ended, runner, items))

    def _ended(self, runner: Runner, items: list[Item], result: RunResult) -> None:
        self.noted(sum(item.rows for item in items), (result.end_ns - result.start_ns) / 1e9)
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


class _PickUp(_Former):
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


class _Fitted(_Former):
    def __init__(self, runners: Sequence[Runner], max_rows: int, clock: Clock, times: ServiceTimes) -> None:
        super().__init__(runners, max_rows, clock)
        self._times = times
        self._free_at_s: list[float] = []
        """When the runs in progress are expected to end."""

    def admit(self, request: InferRequest, rows: int) -> None:
        fit, deadline_s, now_s = self._times.fit(_BUCKET), request.deadline_s, self.clock.now_s()
        if fit is None or deadline_s is None:
            return
        answer_s = answer_in_s(
            fit,
            rows,
            left_s=deadline_s - now_s,
            same_ahead_rows=sum(item.rows for item in self.waiting),
            other_ahead_s=0.0,
            busy_s=0.0 if self.idle else max(0.0, min(self._free_at_s) - now_s),
            max_rows=self.max_rows,
            runners=self.runners,
        )
        check_attainable(fit, rows, answer_s, deadline_s=deadline_s, now_s=now_s)

    def noted(self, rows: int, seconds: float) -> None:
        self._times.note(_BUCKET, rows, seconds, self.clock.now_s())
        self._free_at_s.remove(min(self._free_at_s))

    def look(self, *, freed: bool) -> None:
        now_s = self.clock.now_s()
        while self.idle:
            fit = self._times.fit(_BUCKET)
            while self.waiting and self._is_lost(fit, self.waiting[0], now_s):
                self.waiting.popleft().future.set_exception(DeadlineExceeded("waited in vain"))
            if not self.waiting:
                return
            cap = row_cap(
                fit,
                (Waiting(item.rows, item.request.deadline_s) for item in self.waiting),
                now_s=now_s,
                max_rows=self.max_rows,
                guard_rows=self._times.guard_rows(_BUCKET),
            )
            cut = decide(
                (item.rows for item in self.waiting),
                oldest_s=self.waiting[0].arrived_s,
                now_s=now_s,
                max_rows=cap.rows,
                max_delay_s=0.0,
                freed=freed,
            )
            if isinstance(cut, Hold):
                return  # never: there is no delay
            items = [self.waiting.popleft() for _ in range(cut.requests)]
            rows = sum(item.rows for item in items)
            self._free_at_s.append(now_s + (fit.predict_s(rows) if fit else 0.0))
            self.run(self.idle.pop(), items)

    @staticmethod
    def _is_lost(fit: Fit | None, item: Item, now_s: float) -> bool:
        deadline_s = item.request.deadline_s
        return deadline_s is not None and (
            deadline_s <= now_s or is_lost(fit, item.rows, deadline_s=deadline_s, now_s=now_s)
        )
