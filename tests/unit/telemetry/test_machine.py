"""What /proc says, read right, and nothing where there is none."""

import os
import time
from pathlib import Path

import pytest

from onnxd.telemetry.machine import MachineMeter, MachineUsage, read_process

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self" / "fd").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "self" / "fd" / str(number)).touch()
    behind_name = ["S"] + ["0"] * 10 + [f"{5 * TICKS}", f"{2 * TICKS}"] + ["0"] * 6 + [f"{100 * TICKS}", "0"]
    behind_name += ["25", "0"]
    (tmp_path / "self" / "stat").write_text(f"17 (a) b) (c) {' '.join(behind_name)}\n")
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   400 kB\n")
    ticks(tmp_path, busy=0, idle=0)
    return tmp_path


def ticks(proc: Path, *, busy: int, idle: int) -> None:
    """The machine's CPUs have been busy and idle for so long since the boot."""
    (proc / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 9999 9999\ncpu0 1 1 1 1\nbtime 1000\n")


def test_a_process_is_read_whatever_its_name(proc: Path) -> None:
    usage = read_process(proc)
    assert usage is not None
    assert (usage.cpu_s, usage.resident_bytes, usage.open_fds) == (7.0, 25 * PAGE, 3)
    assert usage.started_s == 1100.0


def test_this_process_is_read() -> None:
    usage = read_process()
    assert usage is not None
    assert usage.resident_bytes > 2**20
    assert usage.open_fds >= 3
    assert 0 < usage.started_s <= time.time() + 1


def test_the_first_utilization_counts_from_the_boot(proc: Path) -> None:
    ticks(proc, busy=300, idle=700)
    assert MachineMeter(proc).read() == MachineUsage(0.3, 1000 * 1024, 600 * 1024)


def test_later_ones_count_from_the_reading_before(proc: Path) -> None:
    meter = MachineMeter(proc)
    ticks(proc, busy=300, idle=700)
    meter.read(0.0)
    ticks(proc, busy=390, idle=710)
    usage = meter.read(2.0)
    assert usage is not None
    assert usage.cpu_utilization == 0.9


def test_readings_in_quick_succession_share_one_utilization(proc: Path) -> None:
    meter = MachineMeter(proc)
    ticks(proc, busy=300, idle=700)
    meter.read(0.0)
    ticks(proc, busy=301, idle=700)
    usage = meter.read(0.1)
    assert usage is not None
    assert usage.cpu_utilization == 0.3


def test_a_machine_without_proc_tells_nothing(tmp_path: Path) -> None:
    assert read_process(tmp_path) is None
    assert MachineMeter(tmp_path).read() is None
