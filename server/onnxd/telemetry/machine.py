"""What this process and its machine use, as Linux tells it in /proc; None where there is no /proc.

Reading blocks for moments (a directory entry for each descriptor): for a thread, not for the loop.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PROC: Final = Path("/proc")
_SHORTEST_INTERVAL_S: Final = 1.0
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Of one process, or of several together."""

    cpu_s: float
    resident_bytes: int
    open_fds: int
    started_s: float
    """Seconds of the Unix epoch; of several, the first."""

    def merged(self, other: Self) -> Self:
        return type(self)(
            self.cpu_s + other.cpu_s,
            self.resident_bytes + other.resident_bytes,
            self.open_fds + other.open_fds,
            min(self.started_s, other.started_s),
        )


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """Of the whole machine, other programs included."""

    cpu_utilization: float
    """The share of all cores together that was busy, 0 to 1, since the last reading."""
    memory_total_bytes: int
    memory_used_bytes: int

    def merged(self, other: Self) -> Self:
        """Of two processes' readings of one machine; either would do."""
        return type(self)(
            max(self.cpu_utilization, other.cpu_utilization),
            max(self.memory_total_bytes, other.memory_total_bytes),
            max(self.memory_used_bytes, other.memory_used_bytes),
        )


def read_process(proc: Path = _PROC) -> ProcessUsage | None:
    """What this process uses now."""
    try:
        # The second field is the program's name in parentheses, with any characters in it.
        fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
        open_fds = len(os.listdir(proc / "self/fd"))
        boot_s = _line_of(proc / "stat", "btime")[0]
    except (OSError, LookupError):
        return None
    user, system, started, pages = (int(fields[at]) for at in (11, 12, 19, 21))
    return ProcessUsage(
        cpu_s=(user + system) / _TICKS_A_SECOND,
        resident_bytes=pages * _PAGE_BYTES,
        open_fds=open_fds,
        started_s=boot_s + started / _TICKS_A_SECOND,
    )


class MachineMeter:
    """Readings of the machine. CPU time counts from one to the next, and at first from the boot."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._busy = 0
        self._total = 0
        self._utilization = 0.0
        self._read_s = -_SHORTEST_INTERVAL_S

    def read(self, now_s: float | None = None) -> MachineUsage | None:
        """The usage now. Readings in quick succession share one utilization, or it would be noise."""
        try:
            total_kib = _line_of(self._proc / "meminfo", "MemTotal:")[0]
            free_kib = _line_of(self._proc / "meminfo", "MemAvailable:")[0]
            times = _line_of(self._proc / "stat", "cpu")
        except (OSError, LookupError):
            return None
        now_s = time.monotonic() if now_s is None else now_s
        # user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user and nice already.
        total, idle = sum(times[:8]), sum(times[3:5])
        if now_s - self._read_s >= _SHORTEST_INTERVAL_S and total > self._total:
            busy = total - idle
            share = (busy - self._busy) / (total - self._total)
            self._utilization = min(1.0, max(0.0, share))
            self._busy, self._total, self._read_s = busy, total, now_s
        return MachineUsage(self._utilization, total_kib * 1024, (total_kib - free_kib) * 1024)


def _line_of(path: Path, key: str) -> list[int]:
    """The numbers behind a line's first word. Raises LookupError where no line begins with it."""
    with path.open() as lines:
        for line in lines:
            first, *rest = line.split()
            if first == key:
                return [int(word) for word in rest if word.isdigit()]
    raise LookupError(f"{path} has no line '{key}'")
