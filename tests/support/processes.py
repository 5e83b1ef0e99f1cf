"""Processes that are not ours to wait for."""

import signal
from pathlib import Path
from typing import Final

_ASKED: Final = 500
_EVERY_S: Final = 0.01


def children_of(pid: int) -> list[int]:
    """The processes that the main thread of another has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(pid: int) -> bool:
    """Wait until a process is gone, for some seconds at most."""
    for _ in range(_ASKED):
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:  # between two looks it went
            return True
        signal.sigtimedwait([], _EVERY_S)
    return False
