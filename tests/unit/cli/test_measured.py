"""What a bench comes to, and what it says of its own limits."""

from array import array
from collections import Counter
from typing import Any

import pytest

from onnxd.cli.load_loops import Tally
from onnxd.cli.measured import ServerSide, limits, measured, server_side
from onnxd_client import DeadlineExceeded, ServerError


def tally(**changes: Any) -> Tally:
    made = Tally(latencies_s=array("d", [0.01] * 100), sent=100, elapsed_s=2.0, cpu_s=0.2)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def told(seen: Tally, server: ServerSide | None = None) -> list[str]:
    return list(limits(measured("8 at a time", seen, 1, server)))


def statistics(version: str, count: int, ns: int, executions: int) -> dict[str, Any]:
    parts = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    return {
        "name": "m",
        "version": version,
        "inference_count": 2 * count,
        "execution_count": executions,
        "inference_stats": {part: {"count": count, "ns": ns} for part in parts},
    }


def test_rates_are_of_what_was_answered() -> None:
    seen = measured("8 at a time", tally(errors=Counter({"Unavailable": 3})), 4, None)
    assert (seen.answered, seen.requests_s, seen.rows_s, seen.cpu_share) == (100, 50.0, 200.0, 0.1)
    assert seen.quantiles_s == pytest.approx((0.01, 0.01, 0.01, 0.01))
    assert seen.document()["errors"] == {"Unavailable": 3}


def test_a_run_without_an_answer_has_no_quantiles() -> None:
    seen = measured("1 at a time", Tally(), 1, None)
    assert (seen.quantiles_s, seen.requests_s, list(limits(seen))) == ((), 0.0, [])


def test_a_client_with_room_says_nothing_of_itself() -> None:
    assert told(tally(lag_s=array("d", [0.001] * 50), late_s=array("d", [0.001] * 50))) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cpu_s": 1.9}, "the client itself was the bottleneck: it used 95% of one CPU"),
        ({"lag_s": array("d", [0.02] * 50)}, "event loop came up to 20.0 ms late"),
        (
            {"late_s": array("d", [0.03] * 50)},
            "the client fell behind: requests were sent up to 30.0 ms after",
        ),
        ({"unsent": 5}, "5 requests were not sent"),
    ],
)
def test_a_client_at_its_end_says_so(changes: dict[str, Any], text: str) -> None:
    (limit,) = told(tally(**changes))
    assert text in limit


def test_other_callers_are_noticed() -> None:
    (limit,) = told(tally(), ServerSide(130, 0.0, 0.0, 1.0))
    assert "30 requests more" in limit


def test_the_servers_side_is_what_grew() -> None:
    before = [statistics("1", 10, 1000, 10), statistics("2", 0, 0, 0)]
    after = [statistics("1", 20, 11000, 15), statistics("2", 10, 10000, 5)]
    assert server_side(before, after) == ServerSide(20, 1e-6, 3e-6, 4.0)


def test_counters_that_began_anew_or_were_not_told_say_nothing() -> None:
    assert server_side([statistics("1", 10, 1000, 10)], [statistics("1", 11, 10, 1)]) is None
    assert server_side([], [statistics("1", 10, 1000, 10)]) is None
    assert server_side([statistics("1", 10, 1000, 10)], []) is None


async def test_a_request_counts_from_when_it_was_due() -> None:
    seen = Tally()

    async def answered() -> None:
        return None

    async def failing() -> None:
        error: ServerError = DeadlineExceeded("too late", status="HTTP 504")
        raise error

    await seen.one(answered, due_s=0.0)  # long ago, by any clock that counts from the start of the machine
    await seen.one(failing, due_s=0.0)
    assert seen.latencies_s[0] > 0.1
    assert seen.errors == {"DeadlineExceeded (HTTP 504)": 1}
    assert (seen.sent, seen.in_flight) == (2, 0)
