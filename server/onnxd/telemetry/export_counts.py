"""How many spans, sets of metrics and recorded requests were sent or written, and how many were lost."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class SpanCounts:
    """Plain numbers, each written by one thread: `queued` and `dropped` by the loop's, the others by the
    exporter's."""

    queued: int = 0
    taken: int = 0
    """Out of the queue again, and sent or failed soon after."""
    sent: int = 0
    failed: int = 0
    """The collector did not take them."""
    dropped: int = 0
    """The queue was full."""

    @property
    def waiting(self) -> int:
        """Those in the queue."""
        return self.queued - self.taken

    def snapshot(self) -> Mapping[str, int]:
        """All that has come to an end, by how."""
        return {"sent": self.sent, "failed": self.failed, "dropped": self.dropped}


@dataclass(slots=True, eq=False)
class ExportCounts:
    """How many exports ended in which way. Each number is written by one thread."""

    sent: int = 0
    failed: int = 0
    """The collector did not take it."""
    skipped: int = 0
    """The one before was not over."""

    def snapshot(self) -> Mapping[str, int]:
        return {"sent": self.sent, "failed": self.failed, "skipped": self.skipped}


@dataclass(slots=True, eq=False)
class RecordCounts:
    """Plain numbers, each written by one thread: `dropped` by the loop's, the others by the writer's, but for
    `large`, which is the sum of both."""

    written: int = 0
    failed: int = 0
    """The disk did not take them."""
    dropped: int = 0
    """Too many waited for the disk."""
    large_at_once: int = 0
    large_in_writing: int = 0

    def snapshot(self) -> Mapping[str, int]:
        return {
            "written": self.written,
            "failed": self.failed,
            "dropped": self.dropped,
            "large": self.large_at_once + self.large_in_writing,
        }
