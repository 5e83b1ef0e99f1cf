"""The child processes of a server, seen from outside."""

import contextlib
from pathlib import Path

_NAMED = "onnxd:"


def workers(server: int) -> frozenset[int]:
    """The processes in which a server (by pid) runs models."""
    return frozenset(pid for pid in children(server) if _name(pid).startswith(_NAMED))


def children(parent: int) -> frozenset[int]:
    """All children of a process that have not ended."""
    found: set[int] = set()
    for task in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return frozenset(found)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def open_files(pid: int) -> int:
    """How many descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def has_ended(pid: int) -> bool:
    """Also true of one that nobody has waited for."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""
