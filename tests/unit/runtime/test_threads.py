"""The CPU budget: affinity and cgroup quotas."""

import os
from pathlib import Path

import pytest

from onnxd.runtime.threads import budget, cpu_budget, parse_cfs, parse_cpu_max


@pytest.mark.parametrize(
    ("affinity", "quotas", "expected"),
    [
        pytest.param(8, [], 8, id="no quota: the affinity counts"),
        pytest.param(8, [2.0], 2, id="a quota below the affinity counts"),
        pytest.param(2, [4.0], 2, id="an affinity below the quota counts"),
        pytest.param(8, [1.5], 2, id="a part of a CPU is rounded up"),
        pytest.param(8, [0.1], 1, id="there is always one"),
        pytest.param(8, [6.0, 3.0, 5.0], 3, id="the tightest of several groups counts"),
    ],
)
def test_the_budget_is_the_smallest_bound(affinity: int, quotas: list[float], expected: int) -> None:
    assert budget(affinity, quotas) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000\n", 2.0), ("max 100000\n", None), ("", None), ("junk", None), ("100000 0", None)],
)
def test_cpu_max_of_cgroup_v2(text: str, expected: float | None) -> None:
    assert parse_cpu_max(text) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("150000\n", "100000\n", 1.5), ("-1\n", "100000\n", None), ("", "", None)],
)
def test_cfs_of_cgroup_v1(quota: str, period: str, expected: float | None) -> None:
    assert parse_cfs(quota, period) == expected


def test_a_quota_of_a_group_above_holds(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (cgroups / "pod" / "container").mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("0::/pod/container\n")
    (cgroups / "pod" / "cpu.max").write_text("50000 100000\n")
    (cgroups / "pod" / "container" / "cpu.max").write_text("max 100000\n")
    assert cpu_budget(proc, cgroups) == 1


def test_a_v1_quota_at_the_controllers_mount_holds(tmp_path: Path) -> None:
    proc, group = tmp_path / "proc", tmp_path / "cgroup" / "cpu,cpuacct" / "box"
    group.mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("4:memory:/box\n3:cpu,cpuacct:/box\n")
    (group / "cpu.cfs_quota_us").write_text("100000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_budget(proc, tmp_path / "cgroup") == 1


def test_without_cgroups_the_affinity_is_the_budget(tmp_path: Path) -> None:
    assert cpu_budget(tmp_path, tmp_path) == len(os.sched_getaffinity(0))
