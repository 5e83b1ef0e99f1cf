"""What front ends ask of the server as a whole, which may be several workers.

The rest they ask of their own process. One process alone (Alone) answers by itself and waits for nobody.
"""

from collections.abc import Sequence
from typing import Protocol

from onnxd.messages import Principal
from onnxd.protocol.batching_document import BatchingReport
from onnxd.protocol.documents import StatisticsRow
from onnxd.protocol.shared_memory import Registration
from onnxd.repository.batching_report import batching_report
from onnxd.repository.served import ServedVersion
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.log_settings import LogChange
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.telemetry.trace_settings import TraceChange


class Fleet(Protocol):
    """Every worker of the server. What changes something returns when it holds in all of them; raises what
    one process does, and Unavailable when the others cannot be reached."""

    async def statistics(self, versions: Sequence[ServedVersion]) -> Sequence[StatisticsRow]:
        """What all have counted for each of these."""
        ...

    async def batching(self, served: ServedVersion) -> BatchingReport: ...

    async def change_trace(self, change: TraceChange, model: str = "") -> None:
        """As RunTimeSettings.change_trace."""
        ...

    async def change_log(self, change: LogChange) -> None:
        """As RunTimeSettings.change_log."""
        ...

    async def register(self, principal: Principal, name: str, wanted: Registration, *, local: bool) -> None:
        """As SharedMemory.register."""
        ...

    async def unregister(self, principal: Principal, name: str | None, *, local: bool) -> None:
        """As SharedMemory.unregister."""
        ...


def statistics_of(served: ServedVersion) -> StatisticsRow:
    """What one process has counted."""
    return StatisticsRow(
        served.spec.name,
        served.spec.version,
        served.statistics.snapshot(),
        served.report.resident_bytes,
    )


class Alone:
    """A server of one process."""

    def __init__(self, shared_memory: SharedMemory, run_time: RunTimeSettings) -> None:
        self._shared_memory = shared_memory
        self._run_time = run_time

    async def statistics(self, versions: Sequence[ServedVersion]) -> Sequence[StatisticsRow]:
        return [statistics_of(served) for served in versions]

    async def batching(self, served: ServedVersion) -> BatchingReport:
        return batching_report(served)

    async def change_trace(self, change: TraceChange, model: str = "") -> None:
        self._run_time.change_trace(change, model)

    async def change_log(self, change: LogChange) -> None:
        self._run_time.change_log(change)

    async def register(self, principal: Principal, name: str, wanted: Registration, *, local: bool) -> None:
        self._shared_memory.register(principal, name, wanted, local=local)

    async def unregister(self, principal: Principal, name: str | None, *, local: bool) -> None:
        self._shared_memory.unregister(principal, name, local=local)
