"""A batcher in virtual time behind what a config may put in front of it."""

import asyncio
from collections.abc import Mapping

import numpy as np

from onnxd.messages import InferRequest
from onnxd.scheduler.front import Front
from onnxd.scheduler.submit import CountedInFront
from onnxd.telemetry.statistics import FailureReason
from onnxd.tensors import Array
from tests.support.batching import Answer, Scene
from tests.support.virtual_time import HeldRunner


class FrontScene(Scene):
    """A Scene whose requests come in through a Front. Runs of no request's own are tasks of the test."""

    def __init__(
        self,
        *runners: HeldRunner,
        max_rows: int = 8,
        single_flight: bool = False,
        split_large: bool = False,
        instances: int = 1,
    ) -> None:
        counted = CountedInFront()
        super().__init__(*runners, max_rows=max_rows, statistics=counted)
        self.tasks: set[asyncio.Task[None]] = set()
        self.front = Front(
            self.batcher.submit,
            max_rows=max_rows,
            instances=instances,
            single_flight=single_flight,
            split_large=split_large,
            statistics=counted,
            spawn=lambda run: self.tasks.add(asyncio.ensure_future(run)),
            clock=self.clock,
        )

    async def ask(
        self,
        inputs: Mapping[str, Array] | Array,
        *,
        outputs: tuple[str, ...] = ("y",),
        deadline_s: float | None = None,
        queue_timeout_s: float | None = None,
        priority: int = 0,
    ) -> Answer:
        """Submit a request; it has arrived, and the loop has not turned since."""
        given = {"x": inputs} if isinstance(inputs, np.ndarray) else dict(inputs)
        request = InferRequest(
            "m",
            given,
            priority=priority,
            queue_timeout_s=queue_timeout_s,
            byte_size=sum(array.nbytes for array in given.values()),
            deadline_s=None if deadline_s is None else self.clock.now_s() + deadline_s,
        )
        rows = len(next(iter(given.values())))
        answer = asyncio.ensure_future(self.front.submit(request, rows, outputs))
        await self.settled()
        return answer

    async def settled(self) -> None:
        """Whatever can go on without a run that ends, or time that passes, has."""
        for _ in range(10):
            await asyncio.sleep(0)
            self.clock.settle()

    @property
    def counts(self) -> dict[str, int]:
        """What has been counted, but for what is zero."""
        seen = self.statistics.snapshot()
        counted = {
            "answered": seen.success.count,
            "rows": seen.inference_count,
            "runs": seen.execution_count,
            "joined": seen.joined,
            **{why.value.lower(): seen.failures[why] for why in FailureReason},
        }
        return {name: count for name, count in counted.items() if count}


def rows(*values: float, width: int = 2) -> Array:
    """A row for each value."""
    return np.repeat(np.array(values, np.float32)[:, None], width, axis=1)
