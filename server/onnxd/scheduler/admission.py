"""Whether a request may wait at all, in which level, and for how long."""

from collections.abc import Callable
from typing import Final

from onnxd.errors import DeadlineExceeded, ModelUnavailable, QueueFull, RateLimited
from onnxd.messages import ANONYMOUS, InferRequest
from onnxd.scheduler.bisection import Bisection
from onnxd.scheduler.capacity import retry_after_s
from onnxd.scheduler.fair_share import Weights
from onnxd.scheduler.item import Item
from onnxd.scheduler.ordering import ArrivalOrder
from onnxd.scheduler.overload import OverloadConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue import RequestQueue
from onnxd.scheduler.queue_policy import level_of
from onnxd.scheduler.tenants import Tenant, Tenants

KEPT_FREE: Final = 16
"""While several wait, of so many places in a queue the last one is not for whoever has most of them."""


class Admission:
    """Keeps the bounds of one batcher's queue. It looks at the queue; `shed` takes off it what makes room.

    A full queue is shared out: when somebody comes who has less in it than another, for their weights, the
    last request of whoever has the most makes room. So a queue that one caller has filled keeps nobody out,
    and a caller that is alone may have all of it.
    """

    def __init__(
        self,
        model: str,
        policy: BatchPolicy,
        queue: RequestQueue,
        order: ArrivalOrder,
        bisection: Bisection,
        *,
        weights: Weights,
        overload: OverloadConfig,
        room_in_s: Callable[[], float],
        wait_s: Callable[[str], float],
        shed: Callable[[Item, RateLimited | QueueFull], None],
    ) -> None:
        """`room_in_s` says after how many seconds a request that is refused may find room, `wait_s` how long
        one of a tenant would wait."""
        self.closed_because: str | None = None
        self._model = model
        self._queue = queue
        self._order = order
        self._bisection = bisection
        self._weights = weights
        self._overload = overload
        self._room_in_s = room_in_s
        self._wait_s = wait_s
        self._shed = shed
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
        """The request's level. Raises ModelUnavailable, DeadlineExceeded, QueueFull, RateLimited."""
        if self.closed_because is not None:
            raise self.closed()
        if request.deadline_s is not None and request.deadline_s <= now_s:
            raise DeadlineExceeded("the request's deadline had passed before it could be queued")
        levels, queue, order = self._levels, self._queue, self._order
        level = 1 if len(levels) == 1 else level_of(request.priority, len(levels), self._default_level)
        most = levels[level - 1].max_queue_size
        # What waits for its turn only, or to be run again, is in memory as well, and behind it more and more
        # would be.
        requests, size = queue.requests_of[level] + order.held, order.held_bytes
        if self._bisection.parts:
            again, again_bytes = self._bisection.waiting(level)
            requests, size = requests + again, size + again_bytes
        if requests >= most:
            self._make_room(request, level, most)
        elif queue.tenants is not None and requests >= most - most // KEPT_FREE:
            self._keep_room(request, level, most, queue.tenants)
        if queue.bytes + size and 0 <= self._max_bytes < queue.bytes + size + request.byte_size:
            self._make_bytes(request, size)
        if self._overload.target_delay and queue.requests:
            self._check_standing(request.principal.name, now_s)
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

    def _make_room(self, request: InferRequest, level: int, most: int) -> None:
        name = request.principal.name
        tenants, bound = self._queue.meet(name), self._of_level(level, most)
        if tenants is None:
            raise self._full(bound)
        longest = self._longer_than(name, level, tenants)
        if longest is None:
            raise self._over_share(name, bound)
        self._take_off(longest, level, bound)

    def _keep_room(self, request: InferRequest, level: int, most: int, tenants: Tenants) -> None:
        """So that others find some when they come, and nobody has to go that has waited."""
        name = request.principal.name
        if self._longer_than(name, level, tenants) is None:
            left = most // KEPT_FREE
            raise self._over_share(name, f"{self._of_level(level, most)} but {left}, which are for others")

    def _longer_than(self, name: str, level: int, tenants: Tenants) -> Tenant | None:
        """Who has most requests of a level, if that is more than one more of this tenant's would be."""
        own, longest = tenants.find(name), tenants.most_requests(level)
        mine = 1 + (own.requests_of[level] if own is not None else 0)
        if mine / self._weights.of(name) >= longest.requests_of[level] / longest.weight:
            return None
        return longest

    def _make_bytes(self, request: InferRequest, besides: int) -> None:
        """`besides`: bytes that are in memory and not in the queue."""
        bound = f"{self._max_bytes} bytes of requests wait (batching.max_queue_bytes)"
        name, queue = request.principal.name, self._queue
        tenants = queue.meet(name)
        if tenants is None:
            raise self._full(bound)
        own = tenants.find(name)
        mine = request.byte_size + (own.bytes if own is not None else 0)
        while queue.bytes + besides + request.byte_size > self._max_bytes:
            longest = tenants.most_bytes()
            if mine / self._weights.of(name) >= longest.bytes / longest.weight:
                raise self._over_share(name, bound)
            self._take_off(longest, None, bound)

    def _take_off(self, tenant: Tenant, level: int | None, bound: str) -> None:
        item = self._queue.newest(tenant, level)
        if item is not None:
            self._shed(item, self._over_share(tenant.name, bound))

    def _check_standing(self, name: str, now_s: float) -> None:
        """Not by how long others have waited: a queue that one caller keeps full is not the others' fault."""
        tenants, since_s = self._queue.meet(name), self._queue.since_s
        if tenants is not None:
            own = tenants.find(name)
            since_s = now_s if own is None else own.since_s
        overload = self._overload
        if now_s - since_s < overload.interval:
            return
        wait_s = self._wait_s(name)
        if wait_s > overload.target_delay:
            for item in self._queue.older(name, now_s - 2 * overload.target_delay):
                self._shed(item, self._standing(wait_s))
            raise self._standing(wait_s)

    def _standing(self, wait_s: float) -> QueueFull:
        overload = self._overload
        retry_s = retry_after_s(wait_s - overload.target_delay)
        return QueueFull(
            f"model '{self._model}' is asked for more than it can do: a request would wait {wait_s:.3g} "
            f"s, longer than {overload.target_delay:g} s (overload.target_delay); try again in "
            f"{retry_s:.0f} s",
            retry_after_s=retry_s,
        )

    def _full(self, bound: str) -> QueueFull:
        wait_s = self._room_in_s()
        return QueueFull(
            f"the queue of model '{self._model}' is full: {bound}; try again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )

    def _over_share(self, name: str, bound: str) -> RateLimited:
        wait_s = self._room_in_s()
        whose = "callers without a credential have" if name == ANONYMOUS.name else f"'{name}' has"
        return RateLimited(
            f"the queue of model '{self._model}' is full: {bound}, and {whose} the largest share of it; "
            f"try again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )

    def _of_level(self, level: int, most: int) -> str:
        of_level = f" of priority {level}" if len(self._levels) > 1 else ""
        key = f"priorities.{level}.max_queue_size" if level in self._own_policies else "max_queue_size"
        return f"{most} requests{of_level} wait (batching.{key})"
