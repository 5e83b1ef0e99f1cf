"""Kubernetes' HorizontalPodAutoscaler as it is documented: how many replicas from what metrics. Pure.

For each metric: replicas = ceil(current * value / target), unless value and target are within a tolerance of
one another; of several metrics the most. Then stabilization (what was wanted within a window; the least of it
for up, the most for down) and policies, which bound the change within a period.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

TOLERANCE: Final = 0.1


@dataclass(frozen=True, slots=True)
class ChangePolicy:
    """At most so many pods, or so many percent of them, within a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float

    def most(self, replicas: int) -> int:
        """The change that it allows when there were so many at the beginning of the period."""
        return self.value if self.kind == "Pods" else math.ceil(replicas * self.value / 100)

    def least_left(self, replicas: int) -> int:
        """What is left when it is used up downwards."""
        return replicas - self.value if self.kind == "Pods" else math.floor(replicas * (1 - self.value / 100))


@dataclass(frozen=True, slots=True)
class Direction:
    """What `behavior` says of one direction; of several policies the widest holds."""

    window_s: float
    policies: Sequence[ChangePolicy]


@dataclass(frozen=True, slots=True)
class Hpa:
    """As it is in a manifest."""

    targets: Mapping[str, float]
    least: int
    most: int
    up: Direction
    down: Direction


def desired(current: int, values: Sequence[float], target: float, *, absent: int = 0) -> int:
    """Replicas for one metric. `values`: of each pod that has one; `absent`: pods that have none yet.

    Those count as idle when more are wanted, and as exactly busy when fewer are, so that pods which start
    neither hasten a change nor turn it around.
    """
    if not values:
        return current
    ratio = sum(values) / len(values) / target
    if not absent:
        return current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * len(values))
    together = sum(values) + (0.0 if ratio > 1 else target * absent)
    adjusted = together / (len(values) + absent) / target
    if abs(adjusted - 1) <= TOLERANCE or (adjusted > 1) != (ratio > 1):
        return current
    wanted = math.ceil(adjusted * (len(values) + absent))
    return max(wanted, current) if adjusted > 1 else min(wanted, current)


@dataclass(slots=True)
class Autoscaler:
    """One HorizontalPodAutoscaler with what it remembers."""

    hpa: Hpa
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now_s: float, current: int, metrics: Mapping[str, Sequence[float]], absent: int) -> int:
        """How many there shall be. `metrics`: by name, a value for each pod that has one."""
        hpa = self.hpa
        wanted = max(
            desired(current, metrics[name], target, absent=absent) for name, target in hpa.targets.items()
        )
        self._wanted.append((now_s, wanted))
        while self._wanted[0][0] < now_s - max(hpa.up.window_s, hpa.down.window_s):
            self._wanted.popleft()
        steady = self._stabilized(now_s, current)
        replicas = max(hpa.least, min(hpa.most, self._limited(now_s, current, steady)))
        if replicas != current:
            self._changes.append((now_s, replicas - current))
        return replicas

    def _stabilized(self, now_s: float, current: int) -> int:
        hpa = self.hpa
        least = min(each for at_s, each in self._wanted if at_s >= now_s - hpa.up.window_s)
        most = max(each for at_s, each in self._wanted if at_s >= now_s - hpa.down.window_s)
        return max(least, min(current, most))

    def _limited(self, now_s: float, current: int, wanted: int) -> int:
        if wanted > current:
            allowed = []
            for each in self.hpa.up.policies:
                before = current - self._changed(now_s, each.period_s, up=True)
                allowed.append(before + each.most(before))
            return min(wanted, max(current, *allowed))
        if wanted < current:
            allowed = []
            for each in self.hpa.down.policies:
                before = current + self._changed(now_s, each.period_s, up=False)
                allowed.append(each.least_left(before))
            return max(wanted, min(current, *allowed))
        return current

    def _changed(self, now_s: float, period_s: float, *, up: bool) -> int:
        """By how many it went this way within the last period."""
        signed = [change for at_s, change in self._changes if at_s > now_s - period_s and (change > 0) == up]
        return abs(sum(signed))
