"""A batch with a request in it that makes the model fail."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from onnxd.tensors import Array
from tests.contract.batching.stand import Client, Ran
from tests.support.scraping import Scrape
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Case:
    """A model, what it can compute with, and what it cannot."""

    model: str
    good: Mapping[int, int]
    """Each with its answer."""
    bad: int
    codes: tuple[str, str]
    """Over HTTP and over gRPC."""
    named: str


CASES = {
    "E14-an-index-outside-the-table": Case(
        "table", {0: 0, 1: 1, 2: 2, -1: 2, -2: 1, -3: 0}, 9, ("400", "StatusCode.INVALID_ARGUMENT"), "idx=9"
    ),
    "E14-a-division-by-zero": Case(
        "quotients", {6: 12, 7: 6, 8: 4, 4: -12, 11: 2, 17: 1}, 5, ("500", "StatusCode.INTERNAL"), "by zero"
    ),
}


def inputs(value: int) -> dict[str, Array]:
    return {"x": np.array([[value]], np.int64)}


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_one_bad_request_in_a_batch_fails_alone(
    case: Case, place: int, server: RunningServer, client: Client
) -> None:
    served = server.server.inference.served(case.model, None)
    before, ran = served.statistics.snapshot(), Ran(server, case.model)
    good = [*case.good, next(iter(case.good))]
    values = [*good[:place], case.bad, *good[place:]]
    outcomes = await asyncio.gather(
        *(client.send(case.model, inputs(value)) for value in values), return_exceptions=True
    )
    refusal = outcomes.pop(place)
    assert isinstance(refusal, InferenceServerException)
    assert refusal.status() in case.codes
    assert case.named in str(refusal.message())
    answers = [answer for answer in outcomes if not isinstance(answer, BaseException)]
    assert [int(answer[0, 0]) for answer in answers] == [case.good[value] for value in good]
    # Of eight one by one is found by halving three times.
    assert sorted(rows for rows, _ in ran.batches) == [1, 2, 4]
    counted = served.statistics.snapshot()
    assert counted.success.count - before.success.count == 7
    assert counted.fail.count - before.fail.count == 1
    assert (counted.bisections - before.bisections, counted.reruns - before.reruns) == (1, 6)


async def counted(server: RunningServer) -> tuple[float, float]:
    """Bisections and their runs, as a scraper reads them."""
    async with aiohttp.ClientSession() as session, session.get(server.metrics) as answer:
        seen = Scrape.of(await answer.text())
    names = ("onnxd_batch_bisections_total", "onnxd_batch_reruns_total")
    bisections, reruns = (seen.value(name, model="table") for name in names)
    return bisections, reruns


async def test_the_metrics_tell_what_it_cost(server: RunningServer, client: Client) -> None:
    before = await counted(server)
    values = (0, 1, 2, 9, 0, 1, 2, 0)
    await asyncio.gather(*(client.send("table", inputs(value)) for value in values), return_exceptions=True)
    after = await counted(server)
    assert (after[0] - before[0], after[1] - before[1]) == (1, 6)


async def test_when_all_of_a_batch_are_bad_each_is_told_why(server: RunningServer, client: Client) -> None:
    case = CASES["E14-an-index-outside-the-table"]
    outcomes = await asyncio.gather(
        *(client.send(case.model, inputs(100 + place)) for place in range(8)), return_exceptions=True
    )
    for place, refusal in enumerate(outcomes):
        assert f"idx={100 + place}" in str(refusal)
