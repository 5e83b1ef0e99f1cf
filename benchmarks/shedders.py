"""What else a server can do with a queue that stands, to compare the server's own way with."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.formers import Waiting
from benchmarks.simulation import Former
from onnxd.errors import QueueTimeout
from onnxd.scheduler.clock import Clock
from onnxd.scheduler.runner import Runner


@dataclass(frozen=True, slots=True)
class NewestFirst:
    """The last that came goes first; nobody is refused before `patience_s`."""

    patience_s: float

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former:
        return _NewestFirst(runners, max_rows, clock, self.patience_s)


@dataclass(frozen=True, slots=True)
class DropOldest:
    """Controlled delay at the head of the queue: while it has not been empty for `interval_s`, what has
    waited longer than `target_s` is dropped when its turn comes."""

    target_s: float
    interval_s: float

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former:
        return _DropOldest(runners, max_rows, clock, self.target_s, self.interval_s)


class _NewestFirst(Waiting):
    def __init__(self, runners: Sequence[Runner], max_rows: int, clock: Clock, patience_s: float) -> None:
        super().__init__(runners, max_rows, clock)
        self._patience_s = patience_s

    def look(self, *, freed: bool) -> None:
        now_s = self.clock.now_s()
        while self.waiting and self.waiting[0].arrived_s + self._patience_s < now_s:
            self.waiting.popleft().future.set_exception(QueueTimeout("nobody waits for it any more"))
        while self.waiting and self.idle:
            count = min(self.max_rows, len(self.waiting))
            self.run(self.idle.pop(), [self.waiting.pop() for _ in range(count)])


class _DropOldest(Waiting):
    def __init__(
        self, runners: Sequence[Runner], max_rows: int, clock: Clock, target_s: float, interval_s: float
    ) -> None:
        super().__init__(runners, max_rows, clock)
        self._target_s = target_s
        self._interval_s = interval_s
        self._empty_s = clock.now_s()

    def look(self, *, freed: bool) -> None:
        now_s = self.clock.now_s()
        if not self.idle:
            return
        if now_s - self._empty_s > self._interval_s:
            while self.waiting and self.waiting[0].arrived_s + self._target_s < now_s:
                self.waiting.popleft().future.set_exception(QueueTimeout("it waited too long"))
        while self.waiting and self.idle:
            count = min(self.max_rows, len(self.waiting))
            self.run(self.idle.pop(), [self.waiting.popleft() for _ in range(count)])
        if not self.waiting:
            self._empty_s = now_s
