"""What becomes of a request when its time is over."""

import math
from collections.abc import Callable
from typing import Final

from onnxd.errors import DeadlineExceeded, QueueTimeout
from onnxd.scheduler.clock import Clock
from onnxd.scheduler.deadlines import Deadlines
from onnxd.scheduler.delivery import Delivery
from onnxd.scheduler.item import Item
from onnxd.scheduler.queue import RequestQueue
from onnxd.telemetry.statistics import FailureReason

_NEVER: Final = math.inf


class Expiry:
    """Watches the earlier of a request's queue timeout and its own deadline.

    A queue timeout says nothing of a run in progress; the deadline ends the wait wherever the request is.
    """

    def __init__(
        self,
        model: str,
        clock: Clock,
        queue: RequestQueue,
        delivery: Delivery,
        missed: Callable[[Item], None],
    ) -> None:
        """`missed` is told of each request that has missed its deadline, once it is ended."""
        self._model = model
        self._clock = clock
        self._queue = queue
        self._delivery = delivery
        self._missed = missed
        self.deadlines = Deadlines(clock, self._expire)

    def watch(self, item: Item) -> None:
        """Until `deadlines` forgets it."""
        when_s, deadline_s = item.times_out_s, item.request.deadline_s
        if deadline_s is not None and deadline_s < when_s:
            self.deadlines.watch(item, deadline_s)
        elif when_s < _NEVER:
            self.deadlines.watch(item, when_s)

    def give_up(self, item: Item, now_s: float) -> None:
        """End one that has been taken off the queue, since it would miss its deadline if it ran now."""
        waited_s, left_s = now_s - item.arrived_s, (item.request.deadline_s or now_s) - now_s
        error = DeadlineExceeded(
            f"the request waited {waited_s:.3f} s for '{self._model}', and can no longer be answered by its "
            f"deadline, in {max(left_s, 0):.3f} s; allow more time, or send less at once"
        )
        self._delivery.refuse(item, error, FailureReason.REJECTED)

    def _expire(self, item: Item) -> None:
        if item.future.done():
            return
        now_s = self._clock.now_s()
        deadline_s = item.request.deadline_s
        if item.queued and item.times_out_s <= now_s and not item.may_be_delayed:
            self._time_out(item, now_s)
        elif deadline_s is not None and deadline_s <= now_s:
            self._miss_deadline(item)
        else:
            if item.queued and item.times_out_s <= now_s:
                self._queue.delay(item)
            if deadline_s is not None:
                self.deadlines.watch(item, deadline_s)

    def _time_out(self, item: Item, now_s: float) -> None:
        self._queue.discard(item)
        error = QueueTimeout(
            f"the request waited {now_s - item.arrived_s:.3f} s for model '{self._model}', longer than its "
            f"queue timeout allows; raise `timeout` or try again",
            retry_after_s=1.0,
        )
        self._delivery.refuse(item, error, FailureReason.REJECTED)

    def _miss_deadline(self, item: Item) -> None:
        waited = self._queue.discard(item)
        where = "waiting for" if waited else "running"
        error = DeadlineExceeded(f"the request's deadline passed while {where} '{self._model}'")
        reason = FailureReason.REJECTED if waited else FailureReason.CANCELED
        self._delivery.refuse(item, error, reason)
        self._missed(item)
