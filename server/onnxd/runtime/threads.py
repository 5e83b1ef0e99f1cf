"""How many CPUs this process may really use: what ONNX Runtime's thread pools are sized from.

`os.cpu_count()` is neither bounded by the affinity mask nor by a container's quota, and a pool that is too
large for its cores is several times slower than one that fits.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path

from onnxd.runtime.cgroup import CGROUPS, PROC, of_controller, read, unified


def cpu_budget(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
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
    quotas = [parse_cpu_max(read(folder / "cpu.max")) for folder in unified(proc, cgroups)]
    quotas += [
        parse_cfs(read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us"))
        for folder in of_controller("cpu", proc, cgroups)
    ]
    return [quota for quota in quotas if quota is not None]
