"""Memory that this process holds, and giving back what is free."""

import ctypes
import os
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the platform does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back() -> None:
    """Returns free heap to the system: for after an unload.

    glibc keeps the pages of freed models otherwise, and a server that reloads grows. Does nothing where the
    C library has no malloc_trim. No garbage collection before it: a closed session is in no cycle (an unload
    brings back as much without), and a collection stops the loop for tens of milliseconds at each reload.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
