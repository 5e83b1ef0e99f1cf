"""Identical requests that are in flight at the same time run once.

    request ─> sketch ─> same bytes in flight? ── no ──> a flight of its own: a run, in a task of the server
                              └── yes ─> joins it; the outputs of the run are everybody's, read-only

The run belongs to nobody's call: whoever leaves, the first one too, leaves the others their answer, and only
when the last has left is it withdrawn. It has the latest deadline of those who wait for it, and each is held
to its own. Callers of different principals share: the same version is given the same bytes, so no answer
tells one of the other more than that somebody asked the same; the run is the principal's who came first.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from onnxd.errors import DeadlineExceeded, ModelUnavailable, QueueTimeout
from onnxd.messages import InferRequest, Timeline
from onnxd.scheduler.clock import Clock
from onnxd.scheduler.same_request import payload_bytes, same_inputs, sketch
from onnxd.scheduler.submit import Submit
from onnxd.tensors import Array

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine in a task group of the server's; what it runs here never raises."""

MOST_BYTES: Final = 4 * 2**20
"""Requests with more are run as they come: to compare them would hold up the loop."""
_MOST_ALIKE: Final = 4
"""Flights whose sketches are equal: a request is compared with no more."""
_NEVER: Final = float("inf")


@dataclass(slots=True, eq=False)
class _Waiter:
    """A call that waits for a flight."""

    deadline_s: float
    answer: asyncio.Future[Mapping[str, Array]]


@dataclass(slots=True, eq=False)
class _Flight:
    """One run, and who waits for it."""

    key: Hashable
    request: InferRequest
    """The first caller's, but for the timeline and the deadline, which are the run's own."""
    waiters: set[_Waiter] = field(default_factory=set)
    task: asyncio.Task[Any] | None = None
    """None = not begun."""


class SingleFlight:
    """Wraps the submit of one version of a model. Used on the loop's thread only."""

    def __init__(self, submit: Submit, *, spawn: Spawn, clock: Clock, joined: Callable[[], None]) -> None:
        """`joined` is called for each request that needs no run of its own."""
        self._submit = submit
        self._spawn = spawn
        self._clock = clock
        self._joined = joined
        self._flights: dict[Hashable, list[_Flight]] = {}

    @property
    def flights(self) -> int:
        """Runs in flight that others may join."""
        return sum(map(len, self._flights.values()))

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        """As Batcher.submit. The arrays of the answer may be somebody else's too, and are read-only."""
        if payload_bytes(request) > MOST_BYTES:
            return await self._submit(request, rows, outputs)
        key = sketch(request, outputs)
        alike = self._flights.get(key, [])
        flight = next((flight for flight in alike if same_inputs(flight.request, request)), None)
        if flight is not None:
            self._joined()
        elif len(alike) >= _MOST_ALIKE:
            return await self._submit(request, rows, outputs)
        else:
            flight = _Flight(key, replace(request, timeline=Timeline()))
            self._spawn(self._run(flight, rows, outputs))
            self._flights.setdefault(key, []).append(flight)
        return await self._wait(flight, request)

    async def _wait(self, flight: _Flight, request: InferRequest) -> Mapping[str, Array]:
        start_ns = time.monotonic_ns()
        deadline_s = _NEVER if request.deadline_s is None else request.deadline_s
        waiter = _Waiter(deadline_s, asyncio.get_running_loop().create_future())
        flight.waiters.add(waiter)
        timer = None
        if request.deadline_s is not None:
            timer = self._clock.call_at(deadline_s, lambda: _expire(waiter, request.model_name))
        run = flight.request
        if run.deadline_s is not None:
            run.deadline_s = None if request.deadline_s is None else max(run.deadline_s, request.deadline_s)
        try:
            return dict(await waiter.answer)
        finally:
            if timer is not None:
                timer.cancel()
            if waiter.answer.done() and not waiter.answer.cancelled():
                waiter.answer.exception()  # looked at, even by a caller that is cancelled this very moment
            _stamp(request.timeline, flight.request.timeline, start_ns)
            flight.waiters.discard(waiter)
            if not flight.waiters:
                self._abandon(flight)

    async def _run(self, flight: _Flight, rows: int, outputs: tuple[str, ...]) -> None:
        """The flight. Everybody who waits has an answer or an error when this ends, however it ends."""
        error: Exception = ModelUnavailable(f"model '{flight.request.model_name}' is being stopped")
        flight.task = asyncio.current_task()
        try:
            while flight.waiters:
                asked_for, asked_s = set(flight.waiters), flight.request.deadline_s or _NEVER
                try:
                    answer = await self._submit(flight.request, rows, outputs)
                except DeadlineExceeded as late:
                    # Of those for whom it was asked the time is over; who came later may have more.
                    self._again(flight, {each for each in flight.waiters if each.deadline_s <= asked_s}, late)
                except QueueTimeout as late:
                    self._again(flight, asked_for, late)
                else:
                    for array in answer.values():
                        array.setflags(write=False)
                    for waiter in flight.waiters:
                        if not waiter.answer.done():
                            waiter.answer.set_result(answer)
                    return
        except Exception as failure:  # of whatever kind: it is for those who wait, and not for the task group
            error = failure
        finally:
            self._land(flight)
            _fail(flight.waiters, error)

    @staticmethod
    def _again(flight: _Flight, over: set[_Waiter], late: Exception) -> None:
        """The run is asked for anew, for all but these."""
        _fail(over, late)
        flight.waiters -= over
        latest_s = max((waiter.deadline_s for waiter in flight.waiters), default=_NEVER)
        flight.request = replace(
            flight.request, timeline=Timeline(), deadline_s=None if latest_s == _NEVER else latest_s
        )

    def _land(self, flight: _Flight) -> None:
        """Nobody joins it any more."""
        alike = self._flights.get(flight.key, [])
        if flight in alike:
            alike.remove(flight)
            if not alike:
                del self._flights[flight.key]

    def _abandon(self, flight: _Flight) -> None:
        self._land(flight)
        if flight.task is not None:
            flight.task.cancel()


def _expire(waiter: _Waiter, model: str) -> None:
    if not waiter.answer.done():
        waiter.answer.set_exception(
            DeadlineExceeded(f"the request's deadline passed while waiting for '{model}'")
        )


def _fail(waiters: set[_Waiter], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.answer.done():
            waiter.answer.set_exception(error)


def _stamp(own: Timeline, run: Timeline, start_ns: int) -> None:
    """What the run passed, as of the caller's own arrival: what was before it came took it no time."""
    own.queue_start_ns = start_ns
    for point in ("compute_start_ns", "infer_start_ns", "infer_end_ns", "compute_end_ns"):
        passed_ns = getattr(run, point)
        setattr(own, point, max(start_ns, passed_ns) if passed_ns else 0)
    own.batch_rows, own.batch_requests, own.cut = run.batch_rows, run.batch_requests, run.cut
    own.executions = run.executions
