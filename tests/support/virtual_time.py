"""A clock that tests turn by hand, and runners that end when told to: the scheduler without waiting."""

import heapq
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from onnxd.errors import ExecutionFailed
from onnxd.tensors import Array


class _Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """Obeys onnxd.scheduler.clock.Clock. Nothing happens until `turn` or `advance` is called."""

    def __init__(self) -> None:
        self._now_s = time.monotonic()
        self._soon: list[Callable[[], object]] = []
        self._timers: list[tuple[float, int, _Timer, Callable[[], object]]] = []
        self._order = itertools.count()

    def now_s(self) -> float:
        return self._now_s

    def call_soon(self, callback: Callable[[], object]) -> object:
        self._soon.append(callback)
        return None

    def call_at(self, when_s: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer()
        heapq.heappush(self._timers, (when_s, next(self._order), timer, callback))
        return timer

    @property
    def pending(self) -> int:
        """Calls that are still to be made."""
        return len(self._soon) + sum(not timer.cancelled for _, _, timer, _ in self._timers)

    def turn(self) -> None:
        """One turn of the loop: what was to be called soon is called, what it schedules waits."""
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()

    def settle(self) -> None:
        """Turns until nothing more is to be called soon."""
        while self._soon:
            self.turn()

    def advance(self, seconds: float) -> None:
        """Let time pass, calling each timer when it is due."""
        end_s = self._now_s + seconds
        while self._timers and self._timers[0][0] <= end_s + 1e-9:
            when_s, _, timer, callback = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, when_s)
            if not timer.cancelled:
                callback()
                self.settle()
        self._now_s = max(self._now_s, end_s)

    def pass_by(self, seconds: float) -> None:
        """Let time pass while the loop is too busy to see to its timers, which fire late."""
        self._now_s += seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """Obeys onnxd.scheduler.runner.RunResult."""

    outputs: Mapping[str, Array] | None
    error: Exception | None = None
    start_ns: int = field(default_factory=time.monotonic_ns)
    end_ns: int = field(default_factory=time.monotonic_ns)


@dataclass(slots=True)
class Run:
    """A run in progress of a HeldRunner."""

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    done: Callable[[Outcome], None]

    @property
    def rows(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    def finish(self) -> None:
        """Answer with the double of the input `x` under each asked name."""
        self.done(Outcome({name: self.inputs["x"] * np.float32(2) for name in self.outputs}))

    def fail(self, error: Exception) -> None:
        self.done(Outcome(None, error))


class HeldRunner:
    """A runner whose runs end when the test says so."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.terminated = 0
        """How often it was asked to end a run."""

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[Outcome], None]
    ) -> None:
        self.runs.append(Run(inputs, outputs, done))

    def terminate(self) -> None:
        self.terminated += 1


class InlineRunner(HeldRunner):
    """A runner that has finished when `start` returns."""

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[Outcome], None]
    ) -> None:
        super().start(inputs, outputs, done)
        self.runs[-1].finish()


class PickyRunner(HeldRunner):
    """Fails each run that has a negative number in it, and has answered the others when `start` returns."""

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[Outcome], None]
    ) -> None:
        super().start(inputs, outputs, done)
        if (inputs["x"] < 0).any():
            self.runs[-1].fail(ExecutionFailed(f"no place for {inputs['x'].min():g}"))
        else:
            self.runs[-1].finish()
