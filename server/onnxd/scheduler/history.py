"""The last runs of one version of a model, for people who ask why its batches are as they are."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from onnxd.scheduler.item import BucketKey
from onnxd.scheduler.run import Run
from onnxd.scheduler.runner import RunResult

KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class RanBatch:
    """One run."""

    rows: int
    requests: int
    cut: str
    """Why the batch was cut where it was (policy.CutReason)."""
    bucket: BucketKey
    run_s: float
    ended_ns: int
    """time.monotonic_ns() when the run ended."""
    failed: bool
    again: bool
    """A part of a batch that had failed."""


class History:
    """The last of them, oldest first. It holds no request and no tensor."""

    def __init__(self) -> None:
        self._runs: deque[tuple[int, int, str, BucketKey, int, int, bool, bool]] = deque(maxlen=KEPT)
        """As RanBatch has it, with the run's start and end: nobody looks at most of them."""

    def add(self, run: Run, result: RunResult, *, failed: bool) -> None:
        items = run.items
        self._runs.append(
            (run.rows, len(items), run.cut, items[0].bucket, result.start_ns, result.end_ns, failed,
             run.search is not None)
        )  # fmt: skip

    def batches(self) -> tuple[RanBatch, ...]:
        return tuple(
            RanBatch(rows, requests, cut, bucket, (end_ns - start_ns) / 1e9, end_ns, failed, again)
            for rows, requests, cut, bucket, start_ns, end_ns, failed, again in self._runs
        )
