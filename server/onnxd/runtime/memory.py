"""Memory that this process holds, and giving back what is free."""

import ctypes
import gc
import os
from pathlib import Path
from typing import Final

from onnxd.runtime.cgroup import CGROUPS, PROC, of_controller, read, unified

_NO_LIMIT: Final = 2**60


def resident_bytes(pid: int | None = None) -> int:
    """Resident memory of this process, or another; 0 where the platform does not say, or it has ended."""
    try:
        pages = Path("/proc", "self" if pid is None else str(pid), "statm").read_bytes().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def container_limit(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """The least memory that a control group around this process allows it; None = none sets a bound."""
    texts = [read(folder / "memory.max") for folder in unified(proc, cgroups)]
    texts += [read(folder / "memory.limit_in_bytes") for folder in of_controller("memory", proc, cgroups)]
    limits = [int(text) for text in map(str.strip, texts) if text.isdecimal()]
    # Version 1 writes a number near 2**63 for none.
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def usable_bytes() -> int:
    """Memory that this process could have: its container's limit, or the machine's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, container_limit() or machine)


def calm_collector() -> None:
    """Sets the garbage collector up for a server: call it once, when everything is imported.

    Some eighty thousand objects live from import to the end, and each full collection walks them again:
    with requests in flight that took 8 % of the CPU and stopped the loop for up to 50 ms. Frozen they are
    left alone, and young objects are looked at less often, since a request leaves no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(3000, 10, 10)


def give_back() -> None:
    """Returns free heap to the system: for after an unload.

    glibc keeps the pages of freed models otherwise, and a server that reloads grows. Does nothing where the
    C library has no malloc_trim. No garbage collection before it: a closed session is in no cycle (an unload
    brings back as much without), and a collection stops the loop for tens of milliseconds at each reload.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
