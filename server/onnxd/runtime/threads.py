"""How many CPUs this process may really use: what ONNX Runtime's thread pools are sized from.

`os.cpu_count()` is neither bounded by the affinity mask nor by a container's quota, and a pool that is too
large for its cores is several times slower than one that fits.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

_PROC: Final = Path("/proc/self")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def cpu_budget(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """CPUs within the affinity mask and every cgroup quota (v1 and v2) above this process; at least 1."""
    return budget(_affinity(), _quotas(proc, cgroups))


def budget(affinity: int, quotas: Iterable[float]) -> int:
    """The smallest of the affinity's size and the quotas (CPUs, rounded up); at least 1."""
    return max(1, min([affinity, *(math.ceil(quota) for quota in quotas)]))


def parse_cpu_max(text: str) -> float | None:
    """CPUs of cgroup v2's cpu.max ("200000 100000"); None for "max" and for what is not of that form."""
    parts = text.split()
    return _ratio(*parts) if len(parts) == 2 else None


def parse_cfs(quota: str, period: str) -> float | None:
    """CPUs of cgroup v1's cpu.cfs_quota_us and cpu.cfs_period_us; None for a quota of -1 (none)."""
    return _ratio(quota.strip(), period.strip())


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0 or int(quota) == 0:
        return None
    return int(quota) / int(period)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(proc: Path, cgroups: Path) -> list[float]:
    """A group's quota also holds for the groups below it, so every group up to the mount counts."""
    quotas: list[float | None] = []
    for line in _read(proc / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path.lstrip("/"))
        for level in (group, *group.parents):
            if number == "0" and not controllers:
                quotas.append(parse_cpu_max(_read(cgroups / level / "cpu.max")))
            elif "cpu" in controllers.split(","):
                # The controller's mount is named after it, together with cpuacct or alone.
                for mount in (controllers, "cpu"):
                    folder = cgroups / mount / level
                    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
                    quotas.append(parse_cfs(quota, period))
    return [quota for quota in quotas if quota is not None]


def _read(path: Path) -> str:
    """The file's text; nothing where the platform does not have it or this process may not see it."""
    try:
        return path.read_text()
    except OSError:
        return ""
