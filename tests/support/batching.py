"""A batcher in virtual time, and requests on their way through it."""

import asyncio
from collections.abc import Mapping

import numpy as np

from onnxd.messages import ANONYMOUS, InferRequest, Principal
from onnxd.scheduler.batch import Alone, BatchForm, Rows
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.fair_share import EQUAL, Weights
from onnxd.scheduler.overload import NO_TARGET, OverloadConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array
from tests.support.virtual_time import HeldRunner, VirtualClock

Answer = asyncio.Task[Mapping[str, Array]]


class Scene:
    """A batcher with one runner (or several), its clock, and requests on their way."""

    def __init__(
        self,
        *runners: HeldRunner,
        max_rows: int = 8,
        form: BatchForm | None = None,
        policy: BatchPolicy | None = None,
        statistics: ModelStatistics | None = None,
        times: ServiceTimes | None = None,
        weights: Weights = EQUAL,
        overload: OverloadConfig = NO_TARGET,
    ) -> None:
        self.clock = VirtualClock()
        self.runners = runners or (HeldRunner(),)
        self.statistics = statistics or ModelStatistics()
        self.batcher = Batcher(
            "m",
            self.runners,
            max_rows=max_rows,
            form=form or (Rows() if max_rows else Alone()),
            policy=policy or BatchPolicy(),
            statistics=self.statistics,
            clock=self.clock,
            times=times,
            weights=weights,
            overload=overload,
        )

    @property
    def runs(self) -> list[int]:
        """The rows of each run of the first runner so far."""
        return [run.rows for run in self.runners[0].runs]

    def values(self, place: int) -> list[float]:
        """What went into a run of the first runner: the first number of each row."""
        return [float(row[0]) for row in self.runners[0].runs[place].inputs["x"]]

    async def busy(self) -> Answer:
        """Keep the first runner busy with a run of a single row, of the value 0."""
        answer = await self.send(value=0.0)
        self.clock.settle()
        return answer

    def free(self, place: int = 0) -> None:
        """End a run of the first runner; what collected meanwhile is run."""
        self.runners[0].runs[place].finish()
        self.clock.settle()

    async def send(
        self,
        rows: int = 1,
        *,
        value: float = 1.0,
        width: int = 2,
        deadline_s: float | None = None,
        queue_timeout_s: float | None = None,
        outputs: tuple[str, ...] = ("y",),
        byte_size: int = 8,
        priority: int = 0,
        tenant: Principal = ANONYMOUS,
    ) -> Answer:
        """Submit a request of `rows` rows; it has arrived, and the loop has not turned yet."""
        request = InferRequest(
            "m",
            {"x": np.full((rows, width), value, np.float32)},
            queue_timeout_s=queue_timeout_s,
            byte_size=byte_size,
            priority=priority,
            principal=tenant,
            deadline_s=None if deadline_s is None else self.clock.now_s() + deadline_s,
        )
        answer = asyncio.ensure_future(self.batcher.submit(request, rows, outputs))
        await asyncio.sleep(0)
        return answer


async def result(answer: Answer) -> Array:
    async with asyncio.timeout(5):
        return (await answer)["y"]


async def turns() -> None:
    """Let the callers see what has been decided of their requests."""
    for _ in range(3):
        await asyncio.sleep(0)
