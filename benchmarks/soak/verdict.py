"""What a scenario found, and readings of a server at rest."""

import asyncio
import http.client
from dataclasses import dataclass, field
from typing import Final

from benchmarks.harness import Resources, Running

_READINGS: Final = 3
BETWEEN_S: Final = 0.5
_MOST_READINGS: Final = 60
_STABLE: Final = 0.005


@dataclass(slots=True)
class Verdict:
    """One scenario's figures, and what must hold and does not."""

    title: str
    figures: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Wrong by a count: never right, however slow the machine is."""
    misses: list[str] = field(default_factory=list)
    """Wrong by a figure of time or memory."""

    def show(self, what: str, figure: object) -> None:
        self.figures.append((what, str(figure)))

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.failures.append(otherwise)

    def expect_figure(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.misses.append(otherwise)


async def at_rest(running: Running, between_s: float = BETWEEN_S) -> Resources:
    """What the server holds once that no longer changes: three readings alike, or sixty."""
    readings = [running.resources()]
    for _ in range(_MOST_READINGS):
        await asyncio.sleep(between_s)
        readings.append(running.resources())
        last = readings[-_READINGS:]
        sizes = [each.resident_bytes for each in last]
        if (
            len(last) == _READINGS
            and len({each.descriptors for each in last}) == 1
            and max(sizes) - min(sizes) <= _STABLE * max(sizes)
        ):
            break
    return readings[-1]


def gauge(port: int, name: str) -> float:
    """A metric of the server, all its series added up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))
