"""Memory that this process holds, and giving back what is free."""

import ctypes
import gc
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
    """Frees unreachable objects and returns free heap to the system: for after an unload.

    glibc keeps the pages of freed models otherwise, and a server that reloads grows. Blocks for some
    milliseconds; does nothing but collect where the C library has no malloc_trim.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
