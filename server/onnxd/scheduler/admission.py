"""Whether a request may wait at all, in which level, and for how long."""

from collections.abc import Callable

from onnxd.errors import DeadlineExceeded, ModelUnavailable, QueueFull
from onnxd.messages import InferRequest
from onnxd.scheduler.ordering import ArrivalOrder
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue import Item, RequestQueue
from onnxd.scheduler.queue_policy import level_of


class Admission:
    """Keeps the bounds of one batcher's queue. It looks at the queue and changes nothing."""

    def __init__(
        self,
        model: str,
        policy: BatchPolicy,
        queue: RequestQueue,
        order: ArrivalOrder,
        room_in_s: Callable[[], float],
    ) -> None:
        """`room_in_s` says after how many seconds a request that is refused may find room."""
        self.closed_because: str | None = None
        self._model = model
        self._queue = queue
        self._order = order
        self._room_in_s = room_in_s
        self.apply(policy)

    def apply(self, policy: BatchPolicy) -> None:
        """From now on."""
        self._levels = policy.levels()
        self._default_level = policy.default_priority
        self._own_policies = policy.priorities.keys()
        self._max_bytes = policy.max_queue_bytes
        self.any_timeout = any(level.default_timeout for level in self._levels)
        """Whether requests may wait too long that do not say for how long they would."""

    def admit(self, request: InferRequest, now_s: float) -> int:
        """The request's level. Raises ModelUnavailable, DeadlineExceeded, QueueFull."""
        if self.closed_because is not None:
            raise self.closed()
        if request.deadline_s is not None and request.deadline_s <= now_s:
            raise DeadlineExceeded("the request's deadline had passed before it could be queued")
        levels, queue, order = self._levels, self._queue, self._order
        level = 1 if len(levels) == 1 else level_of(request.priority, len(levels), self._default_level)
        most = levels[level - 1].max_queue_size
        # What waits for its turn only is in memory as well, and behind it more and more would be.
        if queue.requests_of[level] + order.held >= most:
            raise self._full(self._of_level(level, most))
        waiting_bytes = queue.bytes + order.held_bytes
        if waiting_bytes and 0 <= self._max_bytes < waiting_bytes + request.byte_size:
            raise self._full(f"{self._max_bytes} bytes of requests wait (batching.max_queue_bytes)")
        return level

    def limit_wait(self, item: Item) -> None:
        """Settle when an item that has just come will have waited too long, and what becomes of it then."""
        policy = self._levels[item.level - 1]
        if timeout_s := policy.timeout_s(item.request.queue_timeout_s):
            item.times_out_s = item.arrived_s + timeout_s
            item.may_be_delayed = policy.timeout_action == "delay"

    def closed(self) -> ModelUnavailable:
        """What requests hear that come, or wait, when the model stops."""
        return ModelUnavailable(f"model '{self._model}' {self.closed_because}", retry_after_s=1.0)

    def _full(self, bound: str) -> QueueFull:
        wait_s = self._room_in_s()
        return QueueFull(
            f"the queue of model '{self._model}' is full: {bound}; try again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )

    def _of_level(self, level: int, most: int) -> str:
        of_level = f" of priority {level}" if len(self._levels) > 1 else ""
        key = f"priorities.{level}.max_queue_size" if level in self._own_policies else "max_queue_size"
        return f"{most} requests{of_level} wait (batching.{key})"
