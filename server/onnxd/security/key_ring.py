"""The API keys that hold now: read from their file, and again whenever it changes."""

import asyncio
import math
import os
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import structlog

from onnxd.messages import Principal
from onnxd.security import key_file
from onnxd.security.api_key import read_key
from onnxd.security.gate import Caller
from onnxd.security.key_file import KeyFileUnusable, KeyRecord, KeySet
from onnxd.security.repeated import Repeated

_log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int, int]


class KeyRing:
    """An Authenticator. An async context manager: while it is open it follows its file.

    A file that becomes unusable leaves the keys as they are, with an error in the log: a slip of the hand
    must not lock everybody out, nor let anybody in.
    """

    def __init__(self, path: Path, *, look_every_s: float) -> None:
        self._path = path
        self._keys: KeySet | None = None
        self._known: dict[bytes, tuple[KeyRecord, Caller]] = {}
        """Keys that were found to be right, by their digests, until the file changes."""
        self._seen: _Stamp | None = None
        self.edition = object()
        """Another one whenever the keys are others; until then a key that is right stays so, if it lasts."""
        self._looks = Repeated(self.look, look_every_s, "API keys")

    async def __aenter__(self) -> "KeyRing":
        """Raises KeyFileUnusable."""
        self._seen = _stamp(self._path)
        self._keys = await asyncio.to_thread(key_file.load, self._path)
        await self._looks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._looks.__aexit__(kind, error, traceback)

    def identify(self, credential: str, now_s: float) -> Caller | None:
        # Neither the keys themselves in memory, nor a comparison whose time says how much of one is right.
        digest = sha256(credential.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None:
            record, caller = known
            return caller if record.state(now_s) == "holds" else None
        key = read_key(credential)
        found = None if key is None or self._keys is None else self._keys.find(key, now_s)
        if found is None:
            return None
        record, scopes = found
        ends_s = math.inf if record.not_after is None else record.not_after
        caller = Caller(Principal(record.principal), scopes, ends_s)
        self._known[digest] = record, caller
        return caller

    async def look(self) -> None:
        """Read the file again if it is another one than before."""
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = await asyncio.to_thread(key_file.load, self._path)
        except KeyFileUnusable as error:
            _log.error("API keys", reason=str(error), effect="the keys stay as they were")
        else:
            self._known.clear()
            self.edition = object()
            _log.info("API keys", keys=len(self._keys.records))


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
