"""The limits of a child process, set in a process of their own."""

import subprocess
import sys
import textwrap


def output_of(program: str) -> list[str]:
    program = "import math, resource, time\nfrom onnxd.runtime import child_limits\n" + textwrap.dedent(
        program
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_cpu_time_counts_from_each_setting() -> None:
    first, second = output_of("""
        child_limits.limit_cpu(5.0)
        print(resource.getrlimit(resource.RLIMIT_CPU)[0])
        while time.process_time() < 1.0:
            pass
        child_limits.limit_cpu(5.0)
        print(resource.getrlimit(resource.RLIMIT_CPU)[0])
    """)
    assert int(first) >= 5
    assert int(second) > int(first)


def test_memory_is_bounded_above_what_is_in_use_and_can_be_freed_again() -> None:
    small, large = output_of("""
        def allocates(size):
            try:
                return bool(bytearray(size))
            except MemoryError:
                return False
        child_limits.limit_memory(32 * 2**20)
        print(allocates(16 * 2**20), end="/")
        print(allocates(64 * 2**20))
        child_limits.limit_memory(-1)
        print(allocates(64 * 2**20))
    """)
    assert small == "True/False"
    assert large == "True"


def test_a_crash_leaves_no_core_file() -> None:
    assert output_of("""
        child_limits.no_core_dumps()
        print(*resource.getrlimit(resource.RLIMIT_CORE))
    """) == ["0", "0"]


def test_it_is_ended_before_its_parent_when_memory_runs_out() -> None:
    before, after = output_of("""
        from pathlib import Path
        score = Path("/proc/self/oom_score_adj")
        print(score.read_text())
        child_limits.die_first(500)
        print(score.read_text())
    """)
    assert int(after) == max(500, int(before))


def test_the_peak_counts_from_the_reset() -> None:
    before, peak, after = output_of("""
        data = bytearray(64 * 2**20)
        del data
        child_limits.reset_peak()
        before = child_limits.peak_bytes()
        data = bytearray(32 * 2**20)
        print(before, child_limits.peak_bytes())
        del data
        child_limits.reset_peak()
        print(child_limits.peak_bytes())
    """)
    assert int(peak) - int(before) >= 24 * 2**20
    assert int(after) < int(peak)


def test_a_process_whose_parent_has_gone_already_ends_at_once() -> None:
    program = "from onnxd.runtime import child_limits; child_limits.die_with_parent(1 << 22)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 1
