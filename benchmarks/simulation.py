"""Traffic through a batch former in virtual time: arrivals, run times, policy, instances -> latencies.

The former of `BatchWhileBusy` is the server's own Batcher, with its queue, its deadlines, its run times and
its statistics; those of `benchmarks.formers` are how others do it. Everything is seeded: the same question
has the same answer.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.virtual_loop import VirtualClock, run_virtually
from onnxd.errors import DeadlineExceeded, RateLimited, Unavailable
from onnxd.messages import ANONYMOUS, InferRequest, Principal
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.clock import Clock
from onnxd.scheduler.fair_share import EQUAL, Weights
from onnxd.scheduler.overload import NO_TARGET, OverloadConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.runner import Runner, RunResult
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array

RunTime = Callable[[int], float]
"""Seconds that a run of so many rows takes: a fit, or something wilder."""
Floats = npt.NDArray[np.float64]

_OUTPUTS: Final = ("y",)


class Former(Protocol):
    """What stands between requests and instances."""

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        """As Batcher.submit."""


class Policy(Protocol):
    """How to make one."""

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former: ...


@dataclass(frozen=True, slots=True)
class BatchWhileBusy:
    """The server's scheduler as it is; with a delay it counts from the oldest arrival."""

    max_queue_delay_s: float = 0.0
    max_queue_size: int = 10**9
    warm_up: Mapping[int, float] | None = None
    """Rows -> seconds of the runs at load, from where on run times are learnt; None = they are not used."""
    overload: OverloadConfig = NO_TARGET
    weights: Weights = EQUAL

    def former(self, runners: Sequence[Runner], max_rows: int, clock: Clock) -> Former:
        form, times = Rows(), None
        if self.warm_up is not None:
            times = ServiceTimes(max_rows=max_rows)
            for rows, seconds in self.warm_up.items():
                alike = InferRequest("simulated", {"x": np.zeros(rows, np.uint8)})
                times.note(form.bucket(alike, _OUTPUTS), rows, seconds, clock.now_s())
        return Batcher(
            "simulated",
            runners,
            max_rows=max_rows,
            form=form,
            policy=BatchPolicy(
                max_queue_delay=self.max_queue_delay_s, max_queue_size=self.max_queue_size, max_queue_bytes=-1
            ),
            statistics=ModelStatistics(),
            clock=clock,
            times=times,
            overload=self.overload,
            weights=self.weights,
        )


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests come, with how many rows, and how long each may take at most."""

    at_s: Floats
    rows: Sequence[int]
    deadline_s: float | None = None
    """From the arrival."""
    principals: Sequence[Principal] = ()
    """Who sends each; empty = all are one."""

    def and_also(self, other: "Arrivals") -> "Arrivals":
        """Those of both, which have principals, and the same deadline."""
        at_s = np.concatenate((self.at_s, other.at_s))
        order = np.argsort(at_s, kind="stable")
        rows, principals = (*self.rows, *other.rows), (*self.principals, *other.principals)
        return Arrivals(
            at_s[order],
            [rows[place] for place in order],
            self.deadline_s,
            [principals[place] for place in order],
        )


def poisson(
    rate: float,
    count: int,
    *,
    seed: int = 1,
    rows: Sequence[int] = (1,),
    deadline_s: float | None = None,
    principal: Principal | None = None,
) -> Arrivals:
    """`rate` requests a second, each independent of the others, with one of `rows`, all equally often."""
    random = np.random.default_rng(seed)
    at_s = np.cumsum(random.exponential(1 / rate, count))
    principals = () if principal is None else (principal,) * count
    return Arrivals(at_s, [int(each) for each in random.choice(rows, count)], deadline_s, principals)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the requests."""

    latencies_s: Floats
    """Of those that were answered, in the order of their arrival."""
    late: int
    """Missed their deadline: refused at once, or after they had waited."""
    refused: int
    """Found no room."""
    batch_rows: Sequence[int]
    """Of each run."""
    mean_in_system: float
    """Requests that waited or ran, averaged over time."""
    span_s: float
    """From the first arrival to the last answer."""
    each_s: Floats
    """What each request took; nan = it was not answered."""
    refused_after_s: Floats
    """How long those waited that were not."""

    @property
    def mean_ms(self) -> float:
        return float(self.latencies_s.mean() * 1e3)

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies_s, percent) * 1e3)

    @property
    def mean_batch(self) -> float:
        return float(np.mean(self.batch_rows))


def simulate(
    arrivals: Arrivals, run_time: RunTime, policy: Policy, *, instances: int = 1, max_rows: int = 32
) -> Outcome:
    """Let all of them through."""
    return run_virtually(_simulate(arrivals, run_time, policy, instances, max_rows))


async def _simulate(
    arrivals: Arrivals, run_time: RunTime, policy: Policy, instances: int, max_rows: int
) -> Outcome:
    loop = asyncio.get_running_loop()
    clock = VirtualClock(loop)
    batches: list[int] = []
    runners = [Instance(clock, run_time, batches) for _ in range(instances)]
    scene = _Scene(policy.former(runners, max_rows, clock), clock, arrivals)
    async with asyncio.TaskGroup() as tasks:
        for number, at_s in enumerate(arrivals.at_s):
            loop.call_at(float(at_s), partial(scene.begin, tasks, number))
        await scene.all_sent
    return Outcome(
        latencies_s=np.array([each for each in scene.latencies_s if each >= 0]),
        each_s=np.array([each if each >= 0 else np.nan for each in scene.latencies_s]),
        refused_after_s=np.array(scene.refused_after_s),
        late=scene.late,
        refused=scene.refused,
        batch_rows=batches,
        mean_in_system=scene.area / (scene.changed_s - float(arrivals.at_s[0])),
        span_s=scene.changed_s - float(arrivals.at_s[0]),
    )


class _Scene:
    """The requests of one simulation, and how many are on their way."""

    def __init__(self, former: Former, clock: Clock, arrivals: Arrivals) -> None:
        self._former = former
        self._clock = clock
        self._arrivals = arrivals
        self._inputs = {rows: {"x": np.zeros(rows, np.uint8)} for rows in set(arrivals.rows)}
        self.all_sent = asyncio.get_running_loop().create_future()
        self.latencies_s = [-1.0] * len(arrivals.rows)
        self.late = self.refused = 0
        self.refused_after_s: list[float] = []
        self.area = 0.0
        self.changed_s = float(arrivals.at_s[0])
        self._inside = 0

    def begin(self, tasks: asyncio.TaskGroup, number: int) -> None:
        """A request arrives."""
        tasks.create_task(self.send(number))

    async def send(self, number: int) -> None:
        start_s = self._clock.now_s()
        self._count(1)
        if number == len(self.latencies_s) - 1:
            self.all_sent.set_result(None)
        rows, allowed_s = self._arrivals.rows[number], self._arrivals.deadline_s
        request = InferRequest(
            "simulated",
            self._inputs[rows],
            deadline_s=None if allowed_s is None else start_s + allowed_s,
            principal=self._arrivals.principals[number] if self._arrivals.principals else ANONYMOUS,
        )
        try:
            await self._former.submit(request, rows, _OUTPUTS)
            self.latencies_s[number] = self._clock.now_s() - start_s
        except DeadlineExceeded:
            self.late += 1
            self.refused_after_s.append(self._clock.now_s() - start_s)
        except (Unavailable, RateLimited):
            self.refused += 1
            self.refused_after_s.append(self._clock.now_s() - start_s)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        now_s = self._clock.now_s()
        self.area += self._inside * (now_s - self.changed_s)
        self.changed_s = now_s
        self._inside += change


@dataclass(frozen=True, slots=True)
class _Result:
    """Obeys onnxd.scheduler.runner.RunResult."""

    outputs: Mapping[str, Array] | None
    start_ns: int
    end_ns: int
    error: Exception | None = None


@dataclass(slots=True)
class Instance:
    """Obeys onnxd.scheduler.runner.Runner: its runs take as long as they are said to."""

    clock: Clock
    run_time: RunTime
    batches: list[int] = field(default_factory=list)
    """The rows of each run, of all instances."""

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunResult], None]
    ) -> None:
        rows = len(inputs["x"])
        self.batches.append(rows)
        start_s = self.clock.now_s()
        end_s = start_s + self.run_time(rows)
        result = _Result({"y": inputs["x"]}, int(start_s * 1e9), int(end_s * 1e9))
        self.clock.call_at(end_s, partial(done, result))

    def terminate(self) -> None:
        return None
