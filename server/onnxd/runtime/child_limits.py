"""The limits that a child process sets on itself. Linux; elsewhere only the CPU limit holds.

All are soft limits, raised again for the next trial: the process is reused, and CPU time only adds up.
"""

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_RESET_PEAK: Final = "5"
_LARGEST_FILE_BYTES: Final = 64 * 2**20
_PR_SET_PDEATHSIG: Final = 1
_FIRST_OF_ALL: Final = 1000
_NAME: Final = Path("/proc/self/comm")


def limit_memory(memory_bytes: int) -> None:
    """From here on: this much more memory; -1 = no limit.

    It is bounded by RLIMIT_DATA (private writable memory), not RLIMIT_AS. Both stop a session or a run at its
    allocation, as an error. But address space also holds what costs nothing: each thread's malloc arena
    reserves 64 MiB of it, and CUDA reserves many GiB, so a bound on it either fails good models or means
    little.
    """
    if memory_bytes >= 0 and (used := _status_bytes("VmData")):
        _set_soft(resource.RLIMIT_DATA, used + memory_bytes)
    else:
        _set_soft(resource.RLIMIT_DATA, resource.RLIM_INFINITY)


def limit_cpu(cpu_s: float) -> None:
    """From here on: this much more CPU time. Over it the kernel sends SIGXCPU, which ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + cpu_s))


def no_core_dumps() -> None:
    """A crash is an answer here; a dump of gigabytes for each would fill the disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def no_large_files() -> None:
    """What this process writes is cut off: a profile of a graph that loops would fill the disk."""
    _set_soft(resource.RLIMIT_FSIZE, _LARGEST_FILE_BYTES)


def die_first(score: int = _FIRST_OF_ALL) -> None:
    """Where the system has to end a process for want of memory, it is this one and not the server; of several
    such, the one with the highest score."""
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text(str(score))


def show_name(name: str) -> None:
    """What lists of processes call this one; the kernel cuts it to 15 bytes."""
    with contextlib.suppress(OSError):
        _NAME.write_text(name)


def die_with_parent(parent: int) -> None:
    """Ends this process when its parent (by pid) ends, however that happens. Linux only; elsewhere the end
    of the pipe does it between trials and the CPU limit within one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before the line above
            sys.exit(1)


def reset_peak() -> None:
    """Lets peak_bytes count from here. Where that is not possible it counts from the process's start."""
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK)


def peak_bytes() -> int:
    """The most resident memory since reset_peak; 0 where the platform does not say."""
    return _status_bytes("VmHWM")


def _set_soft(kind: int, soft: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.setrlimit(kind, (soft, hard))


def _status_bytes(key: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)
