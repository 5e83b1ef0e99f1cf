"""The runs before a version is READY, in the server."""

from collections.abc import Mapping
from typing import Any

import pytest

from onnxd.errors import ExecutionFailed, LoadFailed
from onnxd.repository.warmup import WarmupPlan
from onnxd.repository.warmup_runs import warm_up
from onnxd.runtime.blank import Blank
from onnxd.tensors import Array, Datatype

ROW = {"x": Blank(Datatype.FP32, (1, 4))}


class Counted:
    """A session that counts its runs, and fails each with the fault it is given."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.runs = 0
        self._fault = fault

    def run(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> Mapping[str, Array]:
        self.runs += 1
        if self._fault is not None:
            raise self._fault
        return {}


def plan(*counts: int, run: Mapping[str, Any] | None = None) -> WarmupPlan:
    return WarmupPlan((run or ROW,) * len(counts), counts, guessed=False)


async def test_each_run_is_made_as_often_as_it_is_planned() -> None:
    session = Counted()
    await warm_up(session, plan(3, 1))
    assert session.runs == 4


async def test_all_runs_of_an_instance_together_have_a_limit() -> None:
    session = Counted()
    with pytest.raises(
        LoadFailed, match="longer than 0 s, in which 0 of 64000 runs were done on one instance"
    ):
        await warm_up(session, plan(*(1000,) * 64), limit_s=0.0)
    assert session.runs == 0


@pytest.mark.parametrize("shape", [(2**31 - 1,) * 4, (2**31 - 1,) * 16], ids=["2**124", "2**496"])
async def test_inputs_that_no_memory_holds_are_out_of_memory(shape: tuple[int, ...]) -> None:
    with pytest.raises(LoadFailed, match="warm-up run 1 of 1 ran out of memory"):
        await warm_up(Counted(), plan(1, run={"x": Blank(Datatype.FP32, shape)}))


async def test_a_run_that_fails_is_counted_and_explained() -> None:
    with pytest.raises(LoadFailed, match="warm-up run 1 of 2 failed: no"):
        await warm_up(Counted(ExecutionFailed("no")), plan(2))
