"""Requests of different shape in one queue, over real models and in virtual time: who runs with whom, and
that company changes nothing in an answer."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import TensorMismatch
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import BatchForm, Rows
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.forms import form_of
from onnxd.scheduler.policy import BatchPolicy
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array, Datatype
from tests.support import graphs, sequence_graphs
from tests.support.sequences import HeldSession, item, numbers, opened, spec_of
from tests.support.virtual_time import VirtualClock

MASKED = "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8, 16], mask_input: mask}}"
TOLERANCE = 1e-5
"""Absolute, of values around 1: another order of additions."""


class Stage:
    """A batcher over one real session that runs when it is told to."""

    def __init__(self, directory: Path, graph: bytes, config: str = "max_batch_size: 8") -> None:
        self.clock = VirtualClock()
        self.statistics = ModelStatistics()
        session = opened(directory, graph)
        self.runner = HeldSession(session)
        spec = spec_of(session, config)
        self.outputs = tuple(output.name for output in spec.outputs)
        self.form: BatchForm = form_of(spec, max_rows=8, count=self.statistics.record_padding)
        self._batcher = Batcher(
            "m",
            [self.runner],
            max_rows=8,
            form=self.form,
            policy=BatchPolicy(),
            statistics=self.statistics,
            clock=self.clock,
        )

    async def send(self, **inputs: Array) -> "asyncio.Task[Mapping[str, Array]]":
        rows = len(next(iter(inputs.values())))
        self.clock.turn()
        request = InferRequest("m", dict(inputs))
        answer = asyncio.create_task(self._batcher.submit(request, rows, self.outputs))
        await asyncio.sleep(0)
        self.clock.advance(0.001)  # each arrives later than the one before
        return answer

    def run_all(self) -> list[dict[str, tuple[int, ...]]]:
        """The shapes of all runs' inputs, in their order."""
        self.clock.settle()
        done = 0
        while done < len(self.runner.runs):
            self.runner.release()
            done += 1
            self.clock.settle()
        return [{name: array.shape for name, array in run.items()} for run in self.runner.runs]

    def alone(self, **inputs: Array) -> Mapping[str, Array]:
        """What the model says without the scheduler."""
        return self.runner.session.run(inputs, self.outputs)


async def test_requests_of_different_shape_queue_side_by_side_and_the_oldest_goes_first(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, graphs.add_one(("batch", "n")))
    widths = (2, 3, 5, 3, 5, 2, 3)
    sent = [np.full((1, width), index, np.float32) for index, width in enumerate(widths)]
    answers = [await stage.send(x=x) for x in sent]
    # The first ran at once; of what came meanwhile, 3 is the oldest, then 5, then 2.
    assert [run["x"] for run in stage.run_all()] == [(1, 2), (3, 3), (2, 5), (1, 2)]
    for x, answer in zip(sent, answers, strict=True):
        assert (await answer)["y"].tolist() == (x + 1).tolist()


async def test_a_shape_that_nobody_else_has_is_not_left_behind(tmp_path: Path) -> None:
    stage = Stage(tmp_path, graphs.add_one(("batch", "n")))
    first = await stage.send(x=np.zeros((1, 2), np.float32))
    odd = await stage.send(x=np.zeros((1, 9), np.float32))
    many = [await stage.send(x=np.zeros((4, 2), np.float32)) for _ in range(4)]
    assert [run["x"] for run in stage.run_all()] == [(1, 2), (1, 9), (8, 2), (8, 2)]
    await asyncio.gather(first, odd, *many)


@pytest.mark.parametrize("graph", [sequence_graphs.masked_mean(), sequence_graphs.masked_attention()])
async def test_padded_requests_share_runs_and_have_the_answers_of_single_runs(
    graph: bytes, tmp_path: Path
) -> None:
    stage = Stage(tmp_path, graph, MASKED)
    random = np.random.default_rng(7)
    first = await stage.send(ids=numbers(1, 1))
    sent = [
        random.integers(0, 50, (rows, size))
        for rows, size in ((1, 3), (2, 6), (1, 4), (1, 8), (2, 1), (1, 5))
    ]
    answers = [await stage.send(ids=ids) for ids in sent]
    assert [run["ids"] for run in stage.run_all()] == [(1, 4), (4, 4), (4, 8)]
    for ids, answer in zip(sent, answers, strict=True):
        expected = stage.alone(ids=ids, mask=np.ones(ids.shape, np.int64))
        got = await answer
        for name in stage.outputs:
            np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=TOLERANCE)
    await first
    counted = stage.statistics.snapshot()
    real = 1 + sum(ids.size for ids in sent)
    assert (counted.dynamic_elements, counted.padding_elements) == (4 + 16 + 32, 52 - real)


async def test_what_padding_does_to_a_model_without_a_mask_is_what_the_examination_warns_of(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, sequence_graphs.plain_mean(), MASKED.replace(", mask_input: mask", ""))
    ids = numbers(1, 3)
    answer = await stage.send(ids=ids)
    stage.run_all()
    assert not np.allclose((await answer)["pooled"], stage.alone(ids=ids)["pooled"])


async def test_a_request_that_fits_no_bucket_is_refused_and_the_others_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path, sequence_graphs.masked_mean(), MASKED)
    long = await stage.send(ids=numbers(1, 17))
    short = await stage.send(ids=numbers(1, 3))
    assert len(stage.run_all()) == 1
    with pytest.raises(TensorMismatch, match="its buckets are 4, 8, 16"):
        await long
    assert (await short)["tokens"].shape == (1, 3, 8)


@pytest.mark.parametrize("kind", ["INT32", "FP32"])
async def test_ragged_requests_share_a_run_and_have_the_answers_of_single_runs(
    kind: str, tmp_path: Path
) -> None:
    graph = sequence_graphs.ragged_sums(Datatype(kind))
    stage = Stage(
        tmp_path,
        graph,
        "max_batch_size: 8\n"
        "inputs: [{name: x, shape: [-1], ragged: true}]\n"
        "outputs: [{name: sums}, {name: doubled, shape: [-1], scatter: x}]\n"
        "batch_inputs: [{name: ends, kind: accumulated_element_count, source: x}]\n",
    )
    first = await stage.send(x=np.ones((1, 1), np.float32))
    sent = [np.arange(size, dtype=np.float32).reshape(1, size) for size in (3, 1, 5)]
    answers = [await stage.send(x=x) for x in sent]
    assert [run["x"] for run in stage.run_all()] == [(1,), (9,)]
    for x, answer in zip(sent, answers, strict=True):
        got = await answer
        assert got["sums"].tolist() == [[x.sum()]]
        assert got["doubled"].tolist() == (2 * x).tolist()
    await first


async def test_a_model_without_axes_has_the_form_that_it_had(tmp_path: Path) -> None:
    stage = Stage(tmp_path, graphs.add_one(("batch", "n")))
    assert isinstance(stage.form, Rows)
    x = np.zeros((1, 3), np.float32)
    assert stage.form.stack([item(x=x)])["x"] is x
