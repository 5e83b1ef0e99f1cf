"""From a request to a run and back: admission, the queue, the cut, the deadlines.

There is no task and no polling here: a request that arrives, a run that ends, and a timer are the only
three things that move the queue, and each is one call on the loop's thread. (A loop in a task of its own
was the first design; it cost two more wake-ups a batch and gave nothing.)
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from onnxd.errors import DeadlineExceeded, ModelUnavailable, QueueFull, QueueTimeout, ServerError
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import BatchForm
from onnxd.scheduler.clock import Clock, Timer
from onnxd.scheduler.deadlines import Deadlines
from onnxd.scheduler.policy import BatchPolicy, Cut, decide, retry_after_s
from onnxd.scheduler.queue import Item, RequestQueue
from onnxd.scheduler.runner import Runner, RunResult
from onnxd.telemetry.statistics import FailureReason, ModelStatistics
from onnxd.tensors import Array

_NEWEST_RUN_WEIGHT: Final = 0.1


class Batcher:
    """The scheduler of one version of a model. Used on the loop's thread only.

    Resource handling: a request belongs to the batcher from `submit` until its future ends. A caller that
    is cancelled frees its place at once; if its run has begun, the run goes on for its batch mates and the
    rows are dropped. `aclose` refuses what comes, fails what waits, and waits for what runs, so that the
    runners may be closed after it.
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
    ) -> None:
        """`model` is how errors name it; `max_rows` 0 = every request runs alone; `form` fits it."""
        self._model = model
        self._runners = len(runners)
        self._idle = list(runners)
        self._max_rows = max_rows
        self._form = form
        self._policy = policy
        self._statistics = statistics
        self._clock = clock
        self._queue = RequestQueue()
        self._deadlines = Deadlines(clock, self._expire)
        self._pump_scheduled = False
        self._delay_timer: Timer | None = None
        self._closed_because: str | None = None
        self._all_idle: asyncio.Future[None] | None = None
        self._mean_run_s = 0.0

    @property
    def waiting_requests(self) -> int:
        return self._queue.requests

    @property
    def running(self) -> int:
        """Runs in progress."""
        return self._runners - len(self._idle)

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        """Queue a validated request and wait for its outputs, in the order of `outputs`.

        Raises QueueFull, QueueTimeout, DeadlineExceeded, ModelUnavailable, ExecutionFailed, or what the
        form or the runner says of the request (TensorMismatch).
        """
        now_s = self._clock.now_s()
        start_ns = time.monotonic_ns()
        try:
            self._admit(request, now_s)
            bucket = self._form.bucket(request, outputs)
        except Exception:
            self._statistics.record_failure(time.monotonic_ns() - start_ns, FailureReason.REJECTED)
            raise
        request.timeline.queue_start_ns = start_ns
        item = Item(
            request=request,
            rows=rows,
            outputs=outputs,
            bucket=bucket,
            arrived_s=now_s,
            future=asyncio.get_running_loop().create_future(),
        )
        self._queue.push(item)
        self._schedule_pump()
        self._watch_deadlines(item)
        try:
            return await item.future
        except asyncio.CancelledError:
            self._queue.discard(item)
            # Not cancelled: it had its answer, or its error, and was counted, before the caller left.
            if item.future.cancelled():
                self._count_failure(request, FailureReason.CANCELED)
            raise
        finally:
            self._deadlines.forget(item)

    async def aclose(self, reason: str) -> None:
        """Refuse what comes, fail what waits, wait for what runs."""
        self._close(reason)
        if self.running:
            self._all_idle = asyncio.get_running_loop().create_future()
            await self._all_idle
        self._deadlines.close()

    def _close(self, reason: str) -> None:
        self._closed_because = reason
        if self._delay_timer is not None:
            self._delay_timer.cancel()
        for item in self._queue.take_all():
            unavailable = ModelUnavailable(f"model '{self._model}' {reason}", retry_after_s=1.0)
            self._fail(item, unavailable, FailureReason.REJECTED)

    def _admit(self, request: InferRequest, now_s: float) -> None:
        if self._closed_because is not None:
            raise ModelUnavailable(f"model '{self._model}' {self._closed_because}", retry_after_s=1.0)
        if request.deadline_s is not None and request.deadline_s <= now_s:
            raise DeadlineExceeded("the request's deadline had passed before it could be queued")
        policy = self._policy
        if self._queue.requests >= policy.max_queue_size:
            bound = f"{policy.max_queue_size} requests wait (batching.max_queue_size)"
        elif self._queue and 0 <= policy.max_queue_bytes < self._queue.bytes + request.byte_size:
            bound = f"{policy.max_queue_bytes} bytes of requests wait (batching.max_queue_bytes)"
        else:
            return
        wait_s = retry_after_s(self._queue.rows, self._max_rows, self._mean_run_s, self._runners)
        raise QueueFull(
            f"the queue of model '{self._model}' is full: {bound}; try again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )

    # Deadlines: the earlier of a request's queue timeout and its own deadline.

    def _watch_deadlines(self, item: Item) -> None:
        when_s = self._queue_deadline_s(item)
        deadline_s = item.request.deadline_s
        if deadline_s is not None and (when_s is None or deadline_s < when_s):
            when_s = deadline_s
        if when_s is not None:
            self._deadlines.watch(item, when_s)

    def _queue_deadline_s(self, item: Item) -> float | None:
        own_s = item.request.queue_timeout_s if self._policy.allow_timeout_override else None
        timeout_s = own_s or self._policy.default_timeout
        return item.arrived_s + timeout_s if timeout_s else None

    def _expire(self, item: Item) -> None:
        if item.future.done():
            return
        now_s = self._clock.now_s()
        queue_deadline_s = self._queue_deadline_s(item)
        deadline_s = item.request.deadline_s
        if item.queued and queue_deadline_s is not None and queue_deadline_s <= now_s:
            self._queue.discard(item)
            self._fail(
                item,
                QueueTimeout(
                    f"the request waited {now_s - item.arrived_s:.3f} s for model '{self._model}', longer "
                    f"than its queue timeout allows; raise `timeout` or try again",
                    retry_after_s=1.0,
                ),
                FailureReason.REJECTED,
            )
        elif deadline_s is not None and deadline_s <= now_s:
            waited = self._queue.discard(item)
            where = "waiting for" if waited else "running"
            self._fail(
                item,
                DeadlineExceeded(f"the request's deadline passed while {where} '{self._model}'"),
                FailureReason.REJECTED if waited else FailureReason.CANCELED,
            )
        elif deadline_s is not None:
            # The queue timeout has nothing to say of a run in progress; the deadline has.
            self._deadlines.watch(item, deadline_s)

    # The queue moves.

    def _schedule_pump(self) -> None:
        # Not at once: what else the loop has read from its sockets in this turn shall be in the batch.
        if not self._pump_scheduled and self._idle:
            self._pump_scheduled = True
            self._clock.call_soon(self._pump)

    def _pump(self, *, freed: bool = False) -> None:
        """Start what may start. After an inline run the loop gets a turn before the next one."""
        self._pump_scheduled = False
        items: list[Item] = []
        try:
            # An inline run has ended when _run returns, and has scheduled the next pump itself.
            while self._idle and self._queue and not self._pump_scheduled:
                items, reason = self._cut(freed)
                if not items:
                    return
                self._run(self._idle.pop(), items, reason)
        except Exception as fault:
            self._break(fault, items)
            raise

    def _cut(self, freed: bool) -> tuple[list[Item], str]:
        now_s = self._clock.now_s()
        hold_s: float | None = None
        for bucket in self._queue.oldest_first():
            decision = decide(
                (item.rows for item in bucket),
                oldest_s=bucket[0].arrived_s,
                now_s=now_s,
                max_rows=self._max_rows,
                max_delay_s=self._policy.max_queue_delay,
                freed=freed,
            )
            if isinstance(decision, Cut):
                return self._queue.take(bucket, decision.requests), decision.reason
            hold_s = decision.until_s if hold_s is None else min(hold_s, decision.until_s)
        if hold_s is not None:
            if self._delay_timer is not None:
                self._delay_timer.cancel()
            self._delay_timer = self._clock.call_at(hold_s, self._pump)
        return [], ""

    def _run(self, runner: Runner, items: list[Item], reason: str) -> None:
        start_ns = time.monotonic_ns()
        rows = sum(item.rows for item in items)
        for item in items:
            timeline = item.request.timeline
            timeline.compute_start_ns = start_ns
            timeline.batch_rows = rows
            timeline.batch_requests = len(items)
            timeline.cut = reason
        try:
            inputs = self._form.stack(items)
        except MemoryError:
            self._idle.append(runner)
            for item in items:
                unavailable = ModelUnavailable(f"no memory for a batch of {rows} rows", retry_after_s=1.0)
                self._fail(item, unavailable, FailureReason.OTHER)
            return
        try:
            runner.start(inputs, items[0].outputs, partial(self._finished, runner, items, rows))
        except Exception:
            self._idle.append(runner)
            raise

    def _finished(self, runner: Runner, items: list[Item], rows: int, result: RunResult) -> None:
        self._idle.append(runner)
        try:
            self._deliver(items, rows, result)
        except Exception as fault:
            self._break(fault, items)
            raise
        finally:
            if self._all_idle is not None and not self.running and not self._all_idle.done():
                self._all_idle.set_result(None)
        if self._queue and not self._pump_scheduled:
            self._pump_scheduled = True
            self._clock.call_soon(partial(self._pump, freed=True))

    def _deliver(self, items: list[Item], rows: int, result: RunResult) -> None:
        run_s = (result.end_ns - result.start_ns) / 1e9
        self._mean_run_s += (run_s - self._mean_run_s) * (_NEWEST_RUN_WEIGHT if self._mean_run_s else 1.0)
        error = result.error
        answers: list[Mapping[str, Array]] = []
        if result.outputs is not None:
            try:
                answers = self._form.split(items, result.outputs)
            except Exception as fault:  # of whatever kind: each request must hear of it
                error = fault
        end_ns = time.monotonic_ns()
        for item in items:
            timeline = item.request.timeline
            timeline.infer_start_ns = result.start_ns
            timeline.infer_end_ns = result.end_ns
            timeline.compute_end_ns = end_ns
        if error is not None:
            # A run, or the split of its outputs, that knows why it failed says so with a ServerError.
            reason = FailureReason.BACKEND if isinstance(error, ServerError) else FailureReason.OTHER
            for item in items:
                self._fail(item, error, reason)
            return
        start_ns = items[0].request.timeline.compute_start_ns
        self._statistics.record_batch(
            rows, result.start_ns - start_ns, result.end_ns - result.start_ns, end_ns - result.end_ns
        )
        for item, answer in zip(items, answers, strict=True):
            if not item.future.done():
                self._statistics.record_success(item.request.timeline, item.rows, item.request.byte_size)
                item.future.set_result(answer)

    def _fail(self, item: Item, error: Exception, reason: FailureReason) -> None:
        if not item.future.done():
            self._count_failure(item.request, reason)
            item.future.set_exception(error)

    def _count_failure(self, request: InferRequest, reason: FailureReason) -> None:
        self._statistics.record_failure(time.monotonic_ns() - request.timeline.queue_start_ns, reason)

    def _break(self, fault: Exception, items: Sequence[Item]) -> None:
        """A bug of ours: this model stops, with its reason; the others go on. The loop logs the traceback."""
        self._close(f"stopped after an internal error ({type(fault).__name__}); load it again")
        for item in items:
            unavailable = ModelUnavailable(f"model '{self._model}' {self._closed_because}")
            self._fail(item, unavailable, FailureReason.OTHER)
