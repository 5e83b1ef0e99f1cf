"""What a replica's front ends ask of all replicas."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from onnxd.errors import Unavailable
from onnxd.fleet import Alone
from onnxd.protocol.documents import StatisticsRow
from onnxd.repository.served import ServedVersion
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.run_time_settings import RunTimeSettings

AskAll = Callable[[], Awaitable[Sequence[Sequence[StatisticsRow]]]]
"""What each replica has counted. Raises TimeoutError."""


class ReplicaFleet(Alone):
    """Statistics are everybody's: whoever measures by them asks any one replica for what all have done.

    The rest is this replica's. What would change something (settings, shared memory) is switched off.
    """

    def __init__(self, ask_all: AskAll, shared_memory: SharedMemory, run_time: RunTimeSettings) -> None:
        super().__init__(shared_memory, run_time)
        self._ask_all = ask_all

    async def statistics(self, versions: Sequence[ServedVersion]) -> Sequence[StatisticsRow]:
        try:
            answers = await self._ask_all()
        except TimeoutError as error:
            raise Unavailable(
                "the other replicas do not say what they have done", retry_after_s=1.0
            ) from error
        sums: dict[tuple[str, int], StatisticsRow] = {}
        for row in (row for answer in answers for row in answer):
            known = sums.get((row.name, row.version))
            sums[row.name, row.version] = row if known is None else _added(known, row)
        wanted = [(served.spec.name, served.spec.version) for served in versions]
        return [sums[each] for each in wanted if each in sums]


def _added(one: StatisticsRow, other: StatisticsRow) -> StatisticsRow:
    return replace(
        one,
        counters=one.counters.merged(other.counters),
        resident_bytes=one.resident_bytes + other.resident_bytes,
    )
