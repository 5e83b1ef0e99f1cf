"""What `onnxd check` found."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxd.repository.config_check import Surroundings
from onnxd.repository.fault_codes import Code
from onnxd.runtime.row_verdict import Verdict as RowVerdict
from onnxd.runtime.row_verdict import verdict_to_json


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth a note."""

    code: Code
    message: str
    model: str = ""
    version: int | None = None
    """None = of the model as a whole."""
    file: str = ""
    """Path from here, if it is about a file."""
    line: int = 0
    """Counted from 1; 0 = it has no line."""
    column: int = 0
    key: str = ""
    """The place in the file as people write it: inputs[0].shape."""
    graph: str = ""
    """What the graph says of it."""
    mend: str | None = None
    """The lines as `--fix` would write them, empty for leaving them out; None = it would not."""

    def lines(self) -> list[str]:
        """For people."""
        place = self.file and f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [place or f"model '{self.model}'" + (f" version {self.version}" if self.version else "")]
        parts += [self.key] if self.key else []
        lines = [f"{': '.join((*parts, self.message))} [{self.code.value}]"]
        if self.graph:
            lines.append(f"    graph: {self.graph}")
        if self.mend is not None:
            mend = "\n           ".join(self.mend.strip("\n").splitlines()) or "leave it out"
            lines.append(f"    mend:  {mend}")
        return lines

    def document(self) -> dict[str, Any]:
        return {
            "code": self.code.value,
            "severity": "note" if self.code.is_note else "fault",
            "message": self.message,
            "model": self.model or None,
            "version": self.version,
            "file": self.file or None,
            "line": self.line or None,
            "column": self.column or None,
            "key": self.key or None,
            "graph": self.graph or None,
            "mend": self.mend,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one version, or on a model as a whole when `version` is None."""

    model: str
    version: int | None
    fault: str = ""
    """Why it would not be served, with file and line where they are known; empty = it would."""
    codes: tuple[Code, ...] = ()
    """Of its faults."""
    takes: str = ""
    gives: str = ""
    providers: tuple[str, ...] = ()
    run_s: float | None = None
    """The slowest of its trial runs; None = it could not be run on made-up inputs."""
    peak_bytes: int = 0
    chosen: bool = True
    """Whether the model's `versions` would have it served."""
    max_batch_size: int = 0
    rows: RowVerdict | None = None
    """Whether rows are independent; None: nobody asked."""

    isolation: str = ""
    """Why it would run in a process of its own; empty = it would not."""

    @property
    def sound(self) -> bool:
        return not self.fault

    def row(self) -> tuple[str, str, str, str]:
        version = "" if self.version is None else str(self.version)
        if self.fault:
            codes = dict.fromkeys(code.value for code in self.codes)
            return self.model, version, "FAULT", ", ".join(codes)
        notes = [f"{self.takes} -> {self.gives}"]
        if self.run_s is not None:
            notes.append(f"run {_time(self.run_s)}")
        if self.rows is not None:
            batches = f"batches of {self.max_batch_size}" if self.max_batch_size else "not batched"
            notes.append(f"{batches}, {self.rows}")
        if self.isolation:
            notes.append(self.isolation)
        if not self.chosen:
            notes.append("not chosen by 'versions'")
        return self.model, version, "ok", "; ".join(notes)

    def document(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "sound": self.sound,
            "fault": self.fault,
            "takes": self.takes,
            "gives": self.gives,
            "providers": list(self.providers),
            "run_s": self.run_s,
            "peak_bytes": self.peak_bytes,
            "chosen": self.chosen,
            "max_batch_size": self.max_batch_size,
            "rows": None if self.rows is None else verdict_to_json(self.rows),
            "isolation": self.isolation,
        }


@dataclass(frozen=True, slots=True)
class FaultyFile:
    """A config.yaml with faults, and what it was checked against."""

    path: Path
    data: bytes
    around: Surroundings


@dataclass(frozen=True, slots=True)
class CheckReport:
    """On a whole repository."""

    verdicts: tuple[Verdict, ...]
    """By name, then by version."""
    findings: tuple[Finding, ...]
    """Everything that is wrong, and the notes; in the same order."""
    problems: tuple[str, ...]
    """A repository that cannot be read."""
    warnings: tuple[str, ...]
    """What lies in it and is not served; no fault."""
    faulty_files: tuple[FaultyFile, ...] = field(default=(), compare=False)

    @property
    def sound(self) -> bool:
        return not self.problems and all(verdict.sound for verdict in self.verdicts)

    def document(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "versions": [verdict.document() for verdict in self.verdicts],
            "findings": [finding.document() for finding in self.findings],
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
