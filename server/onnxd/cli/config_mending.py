"""What `onnxd check --fix` writes."""

import contextlib
import difflib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxd.cli.check_report import FaultyFile
from onnxd.cli.mistake import Mistake
from onnxd.repository.config_check import config_faults
from onnxd.repository.document import Fault
from onnxd.repository.mending import mend

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class MendedFile:
    """A file that was changed, or would have been."""

    path: Path
    diff: str
    codes: tuple[str, ...]
    """Of the faults that are gone."""
    left_alone: str = ""
    """Why it was not written after all; empty = it was."""

    def document(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "codes": list(self.codes),
            "diff": self.diff,
            "left_alone": self.left_alone or None,
        }


def mend_file(faulty: FaultyFile) -> MendedFile | None:
    """Mend what is certain and write the file; None if nothing is. Raises Mistake if it cannot be written."""
    try:
        text = faulty.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None

    def examine(candidate: str) -> list[Fault]:
        return config_faults(candidate.encode(), faulty.path.name, faulty.around)

    mended = mend(text, examine)
    if not mended.mended:
        return None
    codes = tuple(dict.fromkeys(fault.code.value for fault in mended.mended))
    diff = _diff(str(faulty.path), text, mended.text)
    bom = _BOM if faulty.data.startswith(_BOM) else b""
    return MendedFile(faulty.path, diff, codes, _write(faulty, bom + mended.text.encode()))


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _write(faulty: FaultyFile, content: bytes) -> str:
    """In one step, so that a server that watches never sees half of it. Returns why not, if it did not."""
    path = faulty.path
    draft = ""
    try:
        if path.is_symlink():
            return "it is a link: mend what it leads to"
        if path.read_bytes() != faulty.data:
            return "it has changed meanwhile; check it again"
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        os.replace(draft, path)
    except OSError as error:
        if draft:
            with contextlib.suppress(OSError):
                os.unlink(draft)
        raise Mistake(f"{path} cannot be written: {error.strerror}") from error
    return ""
