"""From a request to a run and back: what moves the queue, and when.

There is no task and no polling here: a request that arrives, a run that ends, and a timer are the only
three things that move the queue, and each is one call on the loop's thread. (A loop in a task of its own
was the first design; it cost two more wake-ups a batch and gave nothing.)

    admission, queue_policy    whether a request may wait, in which level, for how long
    queue                      what waits, by bucket and rank
    shared_bucket, tenants     in whose turn, where several wait
    company                    whether what comes waits for more to come in the same turn of the loop
    policy                     when a batch is cut, and how big
    foresight, capacity        what follows from how long runs take; caution: where that was too little
    batch                      stacking the inputs, splitting the outputs
    expiry, deadlines          what becomes of those whose time is over
    completion, bisection      what comes of a run that has ended, and whose fault it was that it failed
    delivery, ordering         how a request ends: once, counted, in its turn
    history                    the last runs, to be looked at
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Final

from onnxd.errors import ModelUnavailable, QueueFull, RateLimited
from onnxd.messages import InferRequest, Origin
from onnxd.scheduler.admission import Admission
from onnxd.scheduler.batch import BatchForm
from onnxd.scheduler.capacity import RowCap, retry_after_s
from onnxd.scheduler.clock import Clock, Timer
from onnxd.scheduler.company import Company
from onnxd.scheduler.completion import Completion
from onnxd.scheduler.delivery import Delivery
from onnxd.scheduler.expiry import Expiry
from onnxd.scheduler.fair_share import EQUAL, Weights
from onnxd.scheduler.foresight import Foresight
from onnxd.scheduler.history import RanBatch
from onnxd.scheduler.item import Item, rank_of
from onnxd.scheduler.overload import NO_TARGET, OverloadConfig
from onnxd.scheduler.policy import BatchPolicy, Cut, decide
from onnxd.scheduler.queue import RequestQueue, Waiting, oldest_s
from onnxd.scheduler.run import Run
from onnxd.scheduler.runner import Runner, RunResult
from onnxd.scheduler.service_time import BucketTimes, ServiceTimes
from onnxd.telemetry.statistics import FailureReason, ModelStatistics
from onnxd.tensors import Array

_NEVER: Final = math.inf
_ROWS: Final = attrgetter("rows")
_START_BY: Final = attrgetter("start_by_s")


class Batcher:
    """The scheduler of one version of a model. Used on the loop's thread only.

    Resource handling: a request belongs to the batcher from `submit` until its future ends. A caller that
    is cancelled frees its place at once; if its run has begun, the run goes on for its batch mates and the
    rows are dropped, or is asked to end when it has none. `aclose` refuses what comes, fails what waits, and
    waits for what runs, so that the runners may be closed after it.
    """

    def __init__(
        self,
        model: str,
        runners: Sequence[Runner],
        *,
        max_rows: int,
        form: BatchForm,
        policy: BatchPolicy,
        statistics: ModelStatistics,
        clock: Clock,
        times: ServiceTimes | None = None,
        origin: Origin | None = None,
        weights: Weights = EQUAL,
        overload: OverloadConfig = NO_TARGET,
    ) -> None:
        """`model` is how errors name it; `max_rows` 0 = every request runs alone; `form` fits it.
        `times`: what is known of its runs; None = nothing is, and nothing is learnt. `origin`: as whose its
        runs are shown. `weights`: the shares of those who wait at the same time."""
        self._idle = list(runners)
        self._numbers = {id(runner): number for number, runner in enumerate(runners)}
        self._origin = origin or Origin(model)
        self._running: dict[Run, Runner] = {}
        self._max_rows = max_rows
        self._form = form
        self._statistics = statistics
        self._clock = clock
        self._queue = RequestQueue(weights)
        self._delivery = Delivery(statistics)
        self._order = self._delivery.order
        self._completion = Completion(model, form, self._delivery, statistics)
        self._bisection = self._completion.bisection
        self._again = self._bisection.parts
        self._admission = Admission(
            model,
            policy,
            self._queue,
            self._order,
            self._bisection,
            weights=weights,
            overload=overload,
            room_in_s=self._room_in_s,
            wait_s=self._wait_s,
            shed=self._shed,
        )
        self._expiry = Expiry(model, clock, self._queue, self._delivery, self._missed)
        self._deadlines = self._expiry.deadlines
        self._uncapped = RowCap(max_rows, "maximum")
        self._foresight: Foresight | None = None
        if times is not None:
            runs = self._running.keys()
            self._foresight = Foresight(times, self._queue, idle=self._idle, running=runs, max_rows=max_rows)
        self._pump_scheduled = False
        self._company = Company()
        self.broken = ""
        """Why nothing runs any more, after a bug of ours; empty = all is well."""
        self._hold_timer: Timer | None = None
        self._all_idle: asyncio.Future[None] | None = None
        self.policy = policy
        """The one in force."""
        self._follow(policy)

    @property
    def waiting_requests(self) -> int:
        """Requests in the queue, and in parts of failed batches that are to be run again."""
        return self._queue.requests + self._bisection.requests

    @property
    def waiting_size(self) -> tuple[int, int]:
        """Rows, and bytes of payload, in the queue."""
        return self._queue.rows, self._queue.bytes

    @property
    def running(self) -> int:
        """Runs in progress."""
        return len(self._running)

    @property
    def instances(self) -> int:
        """Runs that there can be at the same time."""
        return len(self._idle) + len(self._running)

    def now_s(self) -> float:
        """The time that what waits is dated by."""
        return self._clock.now_s()

    def waiting(self) -> tuple[Waiting, ...]:
        """The queue by bucket and priority, the most urgent first."""
        return self._queue.waiting()

    def last_batches(self) -> tuple[RanBatch, ...]:
        """The last runs, oldest first."""
        return self._completion.history.batches()

    def run_times(self) -> tuple[tuple[BucketTimes, RowCap], ...]:
        """What is known of each bucket, with the cap of its next batch; the one that ran last first."""
        return () if self._foresight is None else tuple(self._foresight.all(self._clock.now_s()))

    def usual_run_times(self) -> tuple[BucketTimes, RowCap] | None:
        """The same of the requests that come most often; None = nothing has run."""
        return None if self._foresight is None else self._foresight.usual(self._clock.now_s())

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        """Queue a validated request and wait for its outputs, in the order of `outputs`.

        Raises QueueFull, RateLimited, QueueTimeout, DeadlineExceeded, ModelUnavailable, ExecutionFailed, or
        what the form or the runner says of the request (TensorMismatch).
        """
        item = self._take_in(request, rows, outputs)
        try:
            return await item.future
        except asyncio.CancelledError:
            waited = self._queue.discard(item)
            self._delivery.abandoned(item)
            if not waited:
                self._stop_if_forsaken(item)
            raise
        finally:
            self._deadlines.forget(item)

    def reconfigure(self, policy: BatchPolicy) -> None:
        """Go by another policy from now on. What waits keeps its level and its timeout; what runs goes on."""
        if self._order.kept and not policy.preserve_ordering:
            self._order.dissolve()
        self._admission.apply(policy)
        self._follow(policy)
        self._schedule_pump()

    async def aclose(self, reason: str) -> None:
        """Refuse what comes, fail what waits, wait for what runs."""
        self._close(reason)
        if self._running:
            self._all_idle = asyncio.get_running_loop().create_future()
            await self._all_idle
        self._deadlines.close()

    def _follow(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self._max_delay_s = policy.max_queue_delay
        self._preferred = frozenset(policy.preferred_sizes)
        self._order.kept = policy.preserve_ordering
        # An answer that leaves in its turn is not there sooner for having been run before others.
        self._queue.by_tenant = not policy.preserve_ordering
        if self._foresight is not None:  # a delay is asked for to have fuller batches, whatever they cost
            self._foresight.to_knee = not policy.max_queue_delay

    def _close(self, reason: str) -> None:
        self._admission.closed_because = reason
        self._hold_until(_NEVER)
        for item in (*self._bisection.take_all(), *self._queue.take_all()):
            self._delivery.refuse(item, self._admission.closed(), FailureReason.REJECTED)

    # A request arrives.

    def _take_in(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Item:
        now_s = self._clock.now_s()
        start_ns = time.monotonic_ns()
        admission = self._admission
        try:
            level = admission.admit(request, now_s)
            bucket = self._form.bucket(request, outputs)
            rank = rank_of(level)
            if self._foresight is not None and request.deadline_s is not None:
                tenant = request.principal.name
                self._foresight.check(request.deadline_s, rows, bucket, rank, now_s, tenant)
        except Exception:  # of whatever kind: each request that came to the queue is counted
            self._statistics.record_failure(time.monotonic_ns() - start_ns, FailureReason.REJECTED)
            raise
        request.timeline.queue_start_ns = start_ns
        future = asyncio.get_running_loop().create_future()
        item = Item(request, rows, outputs, bucket, now_s, future, rank)
        if request.queue_timeout_s or admission.any_timeout:
            admission.limit_wait(item)
        if self._order.kept:
            self._order.enter(item)
        self._queue.push(item)
        self._schedule_pump(arrived=True)
        if not future.done():  # as it is after an inline run
            self._expiry.watch(item)
        return item

    def _room_in_s(self) -> float:
        return retry_after_s((self._foresight.backlog_s() if self._foresight else 0.0) / self.instances)

    def _wait_s(self, tenant: str) -> float:
        return self._foresight.wait_s(tenant) if self._foresight else 0.0

    def _shed(self, item: Item, error: RateLimited | QueueFull) -> None:
        """Take one off the queue that has to make room."""
        self._queue.discard(item)
        self._delivery.refuse(item, error, FailureReason.REJECTED)

    def _missed(self, item: Item) -> None:
        if self._foresight is not None:
            self._foresight.missed(item)
        self._stop_if_forsaken(item)

    def _stop_if_forsaken(self, item: Item) -> None:
        """End the run of a request that has just lost its caller, if nobody else waits for it."""
        run = next((run for run in self._running if item in run.items), None)
        if run is not None and run.forsaken:
            self._running[run].terminate()

    # The queue moves.

    def _schedule_pump(self, *, arrived: bool = False) -> None:
        # Not at once: what else the loop has read from its sockets in this turn shall be in the batch. Unless
        # experience says that nothing else comes.
        if arrived:
            self._company.came()
        if not self._pump_scheduled and self._idle:
            self._pump_scheduled = True
            self._clock.call_soon(self._pump)
            if arrived and self._company.one_by_one and self._queue.requests == 1 and not self._again:
                self._start_at_once()

    def _start_at_once(self) -> None:
        """Run the one request that waits, in the turn in which it came."""
        run: Run | None = None
        try:
            now_s = self._clock.now_s()
            run = self._cut(now_s, freed=False)
            if run is not None:
                self._start(run, self._idle.pop(), now_s)
        except Exception as bug:  # of ours: the loop hears of it as of one in a call of its own
            self._break(bug, run)
            told = {"message": "a run could not be started", "exception": bug}
            asyncio.get_running_loop().call_exception_handler(told)

    def _pump(self, *, freed: bool = False) -> None:
        """Start what may start. After an inline run the loop gets a turn before the next one."""
        self._pump_scheduled = False
        self._company.turn_over()
        run: Run | None = None
        try:
            # An inline run has ended when _start returns, and has scheduled the next pump itself.
            while self._idle and not self._pump_scheduled and (self._queue.requests or self._again):
                now_s = self._clock.now_s()
                if self._deadlines.next_s <= now_s:
                    self._deadlines.look()
                run = (self._bisection.next() if self._again else None) or self._cut(now_s, freed=freed)
                if run is None:
                    return
                self._start(run, self._idle.pop(), now_s)
        except Exception as fault:
            self._break(fault, run)
            raise

    def _cut(self, now_s: float, *, freed: bool) -> Run | None:
        queue, max_delay_s, until_s, cap = self._queue, self._max_delay_s, _NEVER, self._uncapped
        foresight, near = self._foresight, False
        if foresight is not None:
            near = self._deadlines.next_s - now_s < foresight.horizon_s
            if near:
                for item in foresight.lost(now_s):
                    queue.discard(item)
                    self._expiry.give_up(item, now_s)
        for bucket in queue.most_urgent_first():
            if foresight is not None:
                cap = foresight.cap(bucket, now_s, near=near or max_delay_s > 0)
            decision = decide(
                map(_ROWS, bucket),
                oldest_s=oldest_s(bucket) if max_delay_s else now_s,
                now_s=now_s,
                max_rows=cap.rows,
                max_delay_s=max_delay_s,
                freed=freed,
                preferred=self._preferred,
                start_by_s=(cap.start_by_s, *map(_START_BY, bucket)) if max_delay_s else (),
                others=len(queue.buckets) > 1,
            )
            if isinstance(decision, Cut):
                reason = cap.full_reason if decision.reason == "full" else decision.reason
                self._statistics.record_cut(reason)
                return Run(queue.take(bucket, decision.requests), reason)
            until_s = min(until_s, decision.until_s)
        self._hold_until(until_s)
        return None

    def _hold_until(self, when_s: float) -> None:
        """Look again then; it is looked at sooner whenever something arrives or ends."""
        if self._hold_timer is not None:
            self._hold_timer.cancel()
        self._hold_timer = self._clock.call_at(when_s, self._pump) if when_s < _NEVER else None

    def _start(self, run: Run, runner: Runner, now_s: float) -> None:
        items, statistics = run.items, self._statistics
        execution = run.take(self._origin, self._numbers[id(runner)], now_s)
        elements, padding = statistics.dynamic_elements, statistics.padding_elements
        try:
            inputs = self._form.stack(items)
        except MemoryError as error:
            self._idle.append(runner)
            if self._foresight is not None:
                self._foresight.learn(run, error, now_s)
            execution.settled_ns, execution.error = time.monotonic_ns(), ModelUnavailable.__name__
            for item in items:
                unavailable = ModelUnavailable(f"no memory for a batch of {run.rows} rows", retry_after_s=1.0)
                self._delivery.refuse(item, unavailable, FailureReason.OTHER)
            return
        except Exception:  # a bug of the form's, which must not keep the runner
            self._idle.append(runner)
            raise
        execution.elements = statistics.dynamic_elements - elements
        execution.padding = statistics.padding_elements - padding
        if run.search is not None:
            statistics.record_rerun()
        self._running[run] = runner
        try:
            runner.start(inputs, items[0].outputs, partial(self._finished, run))
        except Exception:  # a bug of the runner's, which must not count as running
            self._idle.append(self._running.pop(run))
            raise

    def _finished(self, run: Run, result: RunResult) -> None:
        self._idle.append(self._running.pop(run))
        try:
            ended_s = self._clock.now_s()
            error = self._completion.settle(run, result, final=self._admission.closed_because is not None)
            if self._foresight is not None:
                self._foresight.learn(run, error, ended_s)
        except Exception as fault:
            self._break(fault, run)
            raise
        finally:
            if self._all_idle is not None and not self._running and not self._all_idle.done():
                self._all_idle.set_result(None)
        if (self._queue.requests or self._again) and not self._pump_scheduled:
            self._pump_scheduled = True
            self._clock.call_soon(partial(self._pump, freed=True))

    def _break(self, fault: Exception, run: Run | None) -> None:
        """A bug of ours: this model stops, with its reason; the others go on. The loop logs the traceback."""
        self.broken = f"stopped after an internal error ({type(fault).__name__}); load it again"
        self._close(self.broken)
        for item in run.items if run is not None else ():
            self._delivery.refuse(item, self._admission.closed(), FailureReason.OTHER)
