"""A fleet that grows and shrinks as a HorizontalPodAutoscaler says, with what it sees and when."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.fleet_sim.autoscaler import Autoscaler, ChangePolicy, Direction, Hpa
from benchmarks.fleet_sim.engine import Fleet, Replica

KUBERNETES: Final = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
MANIFEST: Final = KUBERNETES / "base" / "horizontalpodautoscaler.yaml"
IN_FLIGHT: Final = "onnxd_in_flight_requests"
QUEUE_MS: Final = "onnxd_queue_milliseconds"
SYNC_S: Final = 15.0
"""Between two decisions, the controller's default, and between two scrapes."""
MEAN_S: Final = 60.0
"""Over which the adapter's queries take the mean."""
PROBE_S: Final = 2.0
"""Until a readiness probe has found a server that is ready, and the Service's addresses have it."""
NODE_S: Final = 90.0
"""Until a new node takes pods, where none has room: a parameter, since clouds differ."""


def manifest(path: Path = MANIFEST) -> Hpa:
    """The one that is shipped."""
    spec: Any = yaml.safe_load(path.read_text())["spec"]
    pods = [each["pods"] for each in spec["metrics"]]
    return Hpa(
        targets={each["metric"]["name"]: float(each["target"]["averageValue"]) for each in pods},
        least=spec["minReplicas"],
        most=spec["maxReplicas"],
        up=_direction(spec["behavior"]["scaleUp"]),
        down=_direction(spec["behavior"]["scaleDown"]),
    )


def _direction(behavior: Any) -> Direction:
    policies = [
        ChangePolicy(each["type"], each["value"], each["periodSeconds"]) for each in behavior["policies"]
    ]
    return Direction(behavior["stabilizationWindowSeconds"], policies)


@dataclass(slots=True)
class _Seen:
    """What Prometheus has of a replica."""

    samples: deque[tuple[int, int, float]] = field(
        default_factory=lambda: deque(maxlen=int(MEAN_S / SYNC_S) + 1)
    )
    """In flight, begun, and waited, at each of the last scrapes."""

    def values(self) -> Mapping[str, float]:
        """As the adapter's queries have them."""
        gauge = [in_flight for in_flight, _, _ in self.samples][-int(MEAN_S / SYNC_S) :]
        (_, begun, waited_s), (_, first, waited_first_s) = self.samples[-1], self.samples[0]
        mean_ms = 1e3 * (waited_s - waited_first_s) / max(begun - first, 1)
        return {IN_FLIGHT: sum(gauge) / len(gauge), QUEUE_MS: mean_ms}


class Scaling:
    """Watches a fleet and changes it. `start_s`: from the decision until a pod takes requests."""

    def __init__(self, fleet: Fleet, hpa: Hpa, start_s: float) -> None:
        self._fleet = fleet
        self._autoscaler = Autoscaler(hpa)
        self._start_s = start_s
        self._seen: dict[int, _Seen] = {}
        self._starting: list[Replica] = []
        self.sizes: list[tuple[float, int]] = [(0.0, len(fleet.members))]
        """Since when how many were ready."""
        fleet.every(SYNC_S, self._look)

    def _look(self) -> None:
        fleet = self._fleet
        ready = [each for each in fleet.members if each.alive]
        for each in ready:
            seen = self._seen.setdefault(each.number, _Seen())
            seen.samples.append((each.outstanding, each.started, each.waited_s))
        known = [self._seen[each.number].values() for each in ready]
        metrics = {name: [values[name] for values in known] for name in (IN_FLIGHT, QUEUE_MS)}
        current = len(ready) + len(self._starting)
        wanted = self._autoscaler.decide(fleet.now_s, current, metrics, len(self._starting))
        for _ in range(wanted - current):
            replica = fleet.create()
            self._starting.append(replica)
            fleet.at(fleet.now_s + self._start_s, partial(self._admit, replica))
        if wanted < current:
            self._remove(ready, current - wanted)

    def _remove(self, ready: Sequence[Replica], count: int) -> None:
        """Those that start first, then the youngest."""
        for _ in range(min(count, len(self._starting))):
            self._starting.pop().ended_s = self._fleet.now_s
            count -= 1
        if count:
            self._fleet.dismiss(ready[-count:])
            self._note()

    def _admit(self, replica: Replica) -> None:
        if replica in self._starting:
            self._starting.remove(replica)
            self._fleet.admit([replica])
            self._note()

    def _note(self) -> None:
        self.sizes.append((self._fleet.now_s, len(self._fleet.members)))
