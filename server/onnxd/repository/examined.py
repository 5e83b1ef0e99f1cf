"""A version that is on its way to serve: what its trial found, and its places in the server's budgets."""

import time
from dataclasses import dataclass, field

from onnxd.repository.instances import Isolation
from onnxd.repository.memory_ledger import Holding
from onnxd.repository.served import LoadReport
from onnxd.repository.warmup import WarmupPlan
from onnxd.runtime.row_verdict import Verdict
from onnxd.runtime.trial_messages import TrialReport, TrialRequest
from onnxd.tensors import ModelSpec


@dataclass(frozen=True, slots=True)
class Examined:
    """A version that a child process has built and run."""

    spec: ModelSpec
    report: TrialReport
    request: TrialRequest
    """What was tried, without the examinations."""
    warmup: WarmupPlan
    """What it was run with; nothing when that could only be guessed."""
    warnings: tuple[str, ...] = ()
    """What the config says that this graph makes nothing of."""
    rows: Verdict | None = None
    """Whether its rows are independent; None: nobody asked."""
    isolation: Isolation = field(default_factory=Isolation)
    """Where it runs."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A load that has its memory and its threads, and whose version is examined."""

    start_s: float
    """time.monotonic() when it began."""
    memory: Holding
    threads: int
    """Of each session's pool."""
    examined: Examined
    content: str
    """SHA-256 of the version's files."""

    def report(self) -> LoadReport:
        """Once it is ready to serve."""
        examined = self.examined
        return LoadReport(
            providers=examined.report.providers,
            load_s=time.monotonic() - self.start_s,
            peak_bytes=self.memory.use.peak_bytes or 0,
            resident_bytes=self.memory.use.resident_bytes or 0,
            threads=self.threads,
            warnings=examined.warnings,
            rows=examined.rows,
            isolation=examined.isolation.reason,
            content=self.content,
        )
