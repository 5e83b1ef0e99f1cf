"""Small JSON documents of the server's own, kept over restarts: what it has found out once and need not
find out again."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Final

import structlog

_NAME: Final = re.compile(r"[0-9a-f]{64}\.json")
_PARTIAL: Final = ".partial-"

_log = structlog.get_logger(__name__)


class Notes:
    """One file a note in a directory, the newest of them.

    Every method blocks on the disk and may be called from any thread. Nothing here fails a load: what cannot
    be read is found out again, and what cannot be written is not kept.
    """

    def __init__(self, directory: Path, *, most: int, most_bytes: int) -> None:
        """`most` notes are kept; one that is larger than `most_bytes` is none."""
        self._directory = directory
        self._most = most
        self._most_bytes = most_bytes

    def read(self, key: str) -> Any:
        """The document that was written last under a key; None where there is none that can be read."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                document = json.loads(file.read(self._most_bytes))
        except (OSError, ValueError, RecursionError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return document

    def write(self, key: str, document: Any) -> None:
        """Replaces what is there."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=_PARTIAL, dir=self._directory)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file)
            Path(draft).rename(self._path(key))
            self._forget_oldest()
        except OSError as error:
            _log.warning("note not kept", what=self._directory.name, reason=error.strerror)

    def _path(self, key: str) -> Path:
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _forget_oldest(self) -> None:
        ages: list[tuple[float, str]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) or entry.name.startswith(_PARTIAL):
                    with contextlib.suppress(FileNotFoundError):
                        ages.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
        for _, path in sorted(ages, reverse=True)[self._most :]:
            Path(path).unlink(missing_ok=True)
