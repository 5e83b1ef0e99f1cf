"""Requests with more rows than a batch may have: run in parts, answered as one.

    rows 0..31 | 32..63 | 64..80  ─> up to `instances + 1` parts at a time ─> outputs in the order of the rows

A part is a full batch, and the next one is queued when one has ended: the instances have always something to
do, and what others send meanwhile goes between the parts, not behind them all. When a part fails the request
fails with it, and its other parts are withdrawn.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from onnxd.errors import ExecutionFailed
from onnxd.messages import InferRequest, Timeline
from onnxd.scheduler.submit import Submit
from onnxd.tensors import Array

MOST_PARTS: Final = 64
"""Of a request: its rows and its answer are all in memory at once."""


class LargeRequests:
    """Wraps the submit of one version of a model that batches."""

    def __init__(self, submit: Submit, *, max_rows: int, instances: int) -> None:
        """`max_rows`: of a batch, at least 1."""
        self._submit = submit
        self._max_rows = max_rows
        self._at_once = instances + 1

    @property
    def most_rows(self) -> int:
        """Of a request."""
        return MOST_PARTS * self._max_rows

    async def submit(self, request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        """As Batcher.submit, for up to `most_rows` rows."""
        if rows <= self._max_rows:
            return await self._submit(request, rows, outputs)
        start_ns = time.monotonic_ns()
        work = _Work(self._submit, request, rows, outputs, self._max_rows)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(self._at_once, len(work.parts))):
                    work.workers.append(tasks.create_task(work.run()))
            if work.error is not None:
                raise work.error
            return work.joined()
        finally:
            work.stamp(request.timeline, start_ns)


@dataclass(slots=True)
class _Part:
    request: InferRequest
    rows: int
    answer: Mapping[str, Array] = field(default_factory=dict)


class _Work:
    """One request, in parts."""

    def __init__(
        self, submit: Submit, request: InferRequest, rows: int, outputs: tuple[str, ...], max_rows: int
    ) -> None:
        self.workers: list[asyncio.Task[None]] = []
        self.error: Exception | None = None
        """The first of a part."""
        self._submit = submit
        self._outputs = outputs
        self.parts = [
            _part(request, first, min(first + max_rows, rows), rows) for first in range(0, rows, max_rows)
        ]
        self._next = iter(self.parts)

    async def run(self) -> None:
        """Run parts until there are none left."""
        try:
            for part in self._next:
                part.answer = _checked(await self._submit(part.request, part.rows, self._outputs), part.rows)
        except Exception as error:  # of whatever kind: it is what the request fails with
            if self.error is None:
                self.error = error
                for worker in self.workers:
                    if worker is not asyncio.current_task():
                        worker.cancel()

    def joined(self) -> dict[str, Array]:
        """The outputs of all parts."""
        return {
            name: np.concatenate([part.answer[name] for part in self.parts]) for name in self.parts[0].answer
        }

    def stamp(self, own: Timeline, start_ns: int) -> None:
        """From the first part to the last; where they were not all run, what was."""
        runs = [part.request.timeline for part in self.parts if part.request.timeline.compute_start_ns]
        own.queue_start_ns = start_ns
        if not runs:
            return
        own.compute_start_ns = min(run.compute_start_ns for run in runs)
        own.infer_start_ns = min((run.infer_start_ns for run in runs if run.infer_start_ns), default=0)
        own.infer_end_ns = max(run.infer_end_ns for run in runs)
        own.compute_end_ns = time.monotonic_ns()
        own.batch_rows = max(run.batch_rows for run in runs)
        own.batch_requests = max(run.batch_requests for run in runs)
        own.cut = runs[0].cut
        own.executions = tuple(execution for run in runs for execution in run.executions)


def _part(request: InferRequest, first: int, end: int, rows: int) -> _Part:
    """Rows of a request, as views of its arrays."""
    taken = replace(
        request,
        inputs={name: array[first:end] for name, array in request.inputs.items()},
        byte_size=request.byte_size * (end - first) // rows,
        timeline=Timeline(),
        form=None,  # its rows are others
    )
    return _Part(taken, end - first)


def _checked(answer: Mapping[str, Array], rows: int) -> Mapping[str, Array]:
    """Rows that cannot be told apart cannot be put together."""
    for name, array in answer.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise ExecutionFailed(
                f"output '{name}' has shape {list(array.shape)} for {rows} rows: the model does not give one "
                f"row for each input row; take batching.split_large out of its config.yaml"
            )
    return answer
