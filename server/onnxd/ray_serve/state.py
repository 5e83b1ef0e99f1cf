"""A state directory for each replica of a machine, which the next one inherits when it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from onnxd.repository.store import StateDirectoryUnusable

_MOST: Final = 1024


@contextlib.contextmanager
def own_directory(parent: Path) -> Iterator[Path]:
    """The first of `ray-0`, `ray-1`, ... below `parent` that no other replica has; its own while the context
    is open, or until the process ends. Raises StateDirectoryUnusable."""
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(_MOST):
            descriptor = os.open(parent / f"ray-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.closing(os.fdopen(descriptor)):
                if _locked(descriptor):
                    yield parent / f"ray-{number}"
                    return
    except StateDirectoryUnusable:
        raise
    except OSError as error:
        raise StateDirectoryUnusable(
            f"cannot use the state directory {parent}: {error.strerror}; "
            "name a directory that can be written with the setting state_dir"
        ) from error
    raise StateDirectoryUnusable(f"{parent} has {_MOST} replicas already; name another with state_dir")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
