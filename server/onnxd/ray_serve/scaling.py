"""How many replicas the engines' figures ask for. Pure; Ray's controller runs it, with what it imports.

Ray's own policy counts requests in progress. With dynamic batching that says little: sixteen of them may be
one run, or a queue. What says it is how long requests waited, and how much of the time the model ran.
"""

from collections.abc import Mapping
from typing import Any, Final

_QUEUE_TIME: Final = "onnxd_queue_time_s"
_BUSY: Final = "onnxd_busy_share"
_MOST_AT_ONCE: Final = 2.0
"""Times as many replicas as there are: a long queue says that there are too few, not by how many."""
_CALM: Final = 0.5
"""Of the target. While requests wait longer than that, no replica is taken away."""


class QueuePolicy:
    """For `autoscaling_config.policy`. Ray applies its bounds, factors and delays to what it says."""

    def __init__(self, target_queue_time_s: float = 0.02, target_busy_share: float = 0.7) -> None:
        """The time that a request may wait in a queue on average, and the share of the time that a model may
        run. Raises ValueError for what is no such thing."""
        if not target_queue_time_s > 0:
            raise ValueError(f"target_queue_time_s: expected more than 0 seconds, got {target_queue_time_s}")
        if not 0 < target_busy_share <= 1:
            raise ValueError(
                f"target_busy_share: expected more than 0 and at most 1, got {target_busy_share}"
            )
        self._queue_time_s = target_queue_time_s
        self._busy_share = target_busy_share

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """As Ray calls it, with an AutoscalingContext: the replicas that there should be, and no state."""
        figures = context.aggregated_metrics or {}
        queue_times, busy_shares = figures.get(_QUEUE_TIME, {}), figures.get(_BUSY, {})
        running = context.current_num_replicas
        if not running or not queue_times or not busy_shares:
            return context.target_num_replicas, {}
        return self.wanted(running, _mean(queue_times), _mean(busy_shares)), {}

    def wanted(self, running: int, queue_time_s: float, busy_share: float) -> float:
        """The replicas that there should be instead of those that are running."""
        by_use = running * busy_share / self._busy_share
        waits = queue_time_s / self._queue_time_s
        if waits > 1:
            return running * min(max(waits, busy_share / self._busy_share), _MOST_AT_ONCE)
        if waits > _CALM:
            return max(by_use, float(running))
        return by_use


def _mean(by_replica: Mapping[Any, float]) -> float:
    return sum(by_replica.values()) / len(by_replica)
