"""The file of API keys: its form, and changing it. `onnxd keys` writes it, the server reads it.

    {"pepper": "<64 hex digits>",
     "keys": [{"id": ..., "principal": ..., "scopes": [...], "sealed": ..., "created": ..., "not_after": ...,
               "revoked": false}]}

Times are seconds of the Unix epoch.
"""

import contextlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from onnxd.security.api_key import ApiKey, holds, new_key, seal
from onnxd.security.scopes import ScopeFault, Scopes

_MOST_BYTES: Final = 4 * 2**20
_MOST_KEYS: Final = 10_000


class KeyFileUnusable(OSError):
    """The file of keys cannot be used. For the operator: the message names the file and the mend."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key, without what would let anybody use it."""

    id: str
    principal: str
    """Who it stands for; two keys may stand for one, to be rotated."""
    scopes: tuple[str, ...]
    sealed: str = field(repr=False)
    created: float
    not_after: float | None = None
    """When it ends; None = never."""
    revoked: bool = False

    def state(self, now_s: float) -> Literal["holds", "over", "revoked"]:
        """Whether it lets anybody in."""
        if self.revoked:
            return "revoked"
        return "over" if self.not_after is not None and self.not_after <= now_s else "holds"


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys of a file, as it was read."""

    pepper: bytes = field(repr=False)
    records: Mapping[str, KeyRecord] = field(default_factory=dict)
    """By id."""
    scopes: Mapping[str, Scopes] = field(default_factory=dict)
    """By id, parsed."""

    def find(self, key: ApiKey, now_s: float) -> tuple[KeyRecord, Scopes] | None:
        """The record of a key that holds now; None for one that is wrong, revoked, or over."""
        record = self.records.get(key.id)
        # Compared in any case, so that the time does not tell whether there is such an id.
        right = holds(key.secret, self.pepper, record.sealed if record else "0" * 64)
        if record is None or not right or record.state(now_s) != "holds":
            return None
        return record, self.scopes[key.id]

    def with_new(
        self, principal: str, scopes: tuple[str, ...], now_s: float, not_after: float | None
    ) -> tuple["KeySet", ApiKey]:
        """One key more. Raises ScopeFault."""
        key = new_key()
        parsed = Scopes.parse(scopes)
        record = KeyRecord(key.id, principal, scopes, seal(key.secret, self.pepper), now_s, not_after)
        added = replace(
            self, records={**self.records, key.id: record}, scopes={**self.scopes, key.id: parsed}
        )
        return added, key

    def without(self, identity: str) -> "KeySet | None":
        """With one key revoked; None if there is none by that id."""
        record = self.records.get(identity)
        if record is None:
            return None
        return replace(self, records={**self.records, identity: replace(record, revoked=True)})


def empty() -> KeySet:
    """Of a file that is yet to be written."""
    return KeySet(secrets.token_bytes(32))


def load(path: Path) -> KeySet:
    """Raises KeyFileUnusable: the file is missing, others may read it, or it is not a file of keys."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileUnusable(f"{path} is not a regular file")
            if mode & 0o077:
                raise KeyFileUnusable(
                    f"{path} may be read or written by others (mode {mode & 0o777:o}); chmod 600 {path}"
                )
            text = file.read(_MOST_BYTES + 1)
    except KeyFileUnusable:
        raise
    except OSError as error:
        raise KeyFileUnusable(
            f"cannot read the file of keys {path}: {error.strerror}; make one with `onnxd keys add`"
        ) from error
    if len(text) > _MOST_BYTES:
        raise KeyFileUnusable(f"{path} is larger than {_MOST_BYTES} bytes: that is no file of keys")
    try:
        return _read(json.loads(text))
    except ScopeFault as fault:
        raise KeyFileUnusable(f"{path}: {fault}") from fault
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise KeyFileUnusable(f"{path} is not a file of keys as `onnxd keys` writes it") from error


def save(path: Path, keys: KeySet) -> None:
    """Replace the file in one step, readable by its owner alone. Raises KeyFileUnusable."""
    document = {"pepper": keys.pepper.hex(), "keys": [asdict(record) for record in keys.records.values()]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(draft).unlink()
            raise
    except OSError as error:
        raise KeyFileUnusable(f"cannot write the file of keys {path}: {error.strerror}") from error


def _read(document: Any) -> KeySet:
    records: dict[str, KeyRecord] = {}
    pepper = bytes.fromhex(document["pepper"])
    if len(pepper) < 16 or len(document["keys"]) > _MOST_KEYS:
        raise ValueError
    for entry in document["keys"]:
        record = KeyRecord(
            id=_text(entry["id"]),
            principal=_text(entry["principal"]),
            scopes=tuple(_text(scope) for scope in entry["scopes"]),
            sealed=_text(entry["sealed"]),
            created=float(entry["created"]),
            not_after=None if entry.get("not_after") is None else float(entry["not_after"]),
            revoked=_truth(entry.get("revoked", False)),
        )
        records[record.id] = record
    return KeySet(pepper, records, {key: Scopes.parse(record.scopes) for key, record in records.items()})


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TypeError
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value
