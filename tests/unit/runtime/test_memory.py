"""Resident memory and giving it back."""

from pathlib import Path

from onnxd.runtime.memory import container_limit, give_back, resident_bytes, usable_bytes


def test_resident_memory_is_some_megabytes() -> None:
    assert resident_bytes() > 2**20


def test_giving_back_twice_does_no_harm() -> None:
    give_back()
    give_back()


def test_the_tightest_bound_of_the_groups_above_is_the_containers_limit(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (cgroups / "pod" / "box").mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("0::/pod/box\n")
    assert container_limit(proc, cgroups) is None
    (cgroups / "pod" / "box" / "memory.max").write_text("max\n")
    assert container_limit(proc, cgroups) is None
    (cgroups / "pod" / "memory.max").write_text("1048576\n")
    assert container_limit(proc, cgroups) == 2**20


def test_version_1_of_control_groups_has_a_huge_number_for_none(tmp_path: Path) -> None:
    proc, group = tmp_path / "proc", tmp_path / "cgroup" / "memory" / "box"
    group.mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("4:memory:/box\n")
    (group / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert container_limit(proc, tmp_path / "cgroup") is None
    (group / "memory.limit_in_bytes").write_text("4096\n")
    assert container_limit(proc, tmp_path / "cgroup") == 4096


def test_no_process_can_have_more_than_its_machine_has() -> None:
    assert resident_bytes() < usable_bytes()
