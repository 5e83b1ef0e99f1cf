"""What is found of the independence of a model's rows (independence.py), and the same as JSON."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

_LONGEST: Final = 1000


class Outcome(enum.Enum):
    PROVEN = "proven"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one graph, run as its config says."""

    outcome: Outcome
    by: Literal["graph", "probe", ""] = ""
    """What it rests on; empty = nothing was looked at."""
    rows: int = 0
    """Answers to a row in company that the probe compared."""
    compositions: int = 0
    """Batches that they were in."""
    worst: float = 0.0
    """The largest difference that was taken for rounding, relative to the row's answer."""
    reason: str = ""
    """The evidence against it, or why there is none for it."""

    @property
    def proven(self) -> bool:
        return self.outcome is Outcome.PROVEN

    def __str__(self) -> str:
        if self.outcome is Outcome.REFUTED:
            return f"rows are not independent: {self.reason}"
        if self.outcome is Outcome.UNDECIDED:
            return f"rows are not shown to be independent: {self.reason}"
        if self.by == "graph":
            return "rows are independent: every node works row by row"
        worst = f"no difference above {self.worst:.1g}" if self.worst else "no difference"
        return f"rows are independent: {worst} in {self.rows} rows of {self.compositions} batches"


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.value,
        "by": verdict.by,
        "rows": verdict.rows,
        "compositions": verdict.compositions,
        "worst": verdict.worst,
        "reason": verdict.reason,
    }


def verdict_from_json(document: Mapping[str, Any]) -> Verdict:
    """The inverse. Raises KeyError, TypeError or ValueError for anything else."""
    by: dict[str, Literal["graph", "probe", ""]] = {"graph": "graph", "probe": "probe", "": ""}
    return Verdict(
        outcome=Outcome(document["outcome"]),
        by=by[document["by"]],
        rows=int(document["rows"]),
        compositions=int(document["compositions"]),
        worst=float(document["worst"]),
        reason=_shown(str(document["reason"])),
    )


def _shown(text: str) -> str:
    """It holds names of the graph, which may be anything: no second line in a log, and no book."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:_LONGEST])
