"""What `onnxd check` found."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one version, or on a model as a whole when `version` is None."""

    model: str
    version: int | None
    fault: str = ""
    """Why it would not be served, with file and line where they are known; empty = it would."""
    takes: str = ""
    gives: str = ""
    providers: tuple[str, ...] = ()
    run_s: float | None = None
    """The slowest of its trial runs; None = it could not be run on made-up inputs."""
    peak_bytes: int = 0
    chosen: bool = True
    """Whether the model's `versions` would have it served."""

    @property
    def sound(self) -> bool:
        return not self.fault

    def row(self) -> tuple[str, str, str, str]:
        version = "" if self.version is None else str(self.version)
        if self.fault:
            return self.model, version, "FAULT", self.fault
        notes = [f"{self.takes} -> {self.gives}"]
        if self.run_s is not None:
            notes.append(f"run {_time(self.run_s)}")
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
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """On a whole repository."""

    verdicts: tuple[Verdict, ...]
    """By name, then by version."""
    problems: tuple[str, ...]
    """A repository that cannot be read."""
    warnings: tuple[str, ...]
    """What lies in it and is not served; no fault."""

    @property
    def sound(self) -> bool:
        return not self.problems and all(verdict.sound for verdict in self.verdicts)

    def document(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "versions": [verdict.document() for verdict in self.verdicts],
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
