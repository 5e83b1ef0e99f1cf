"""What is kept of requests that were slow or failed, and how it is told."""

import time

import pytest

from onnxd.errors import QueueFull
from onnxd.messages import Execution, Origin, Timeline
from onnxd.protocol.recent_document import recent as document
from onnxd.telemetry.recent import MOST_MODELS, Recent, RecentConfig, RecentOfModel
from onnxd.telemetry.tracing import Tracing
from tests.support import spans

OPERATION = "POST /v2/models/{model}/infer"
BATCH = Execution(
    Origin("m", 3, "c0ffee", "CPUExecutionProvider"), rows=7, requests=2, cut="full", instance=1
)


def finish(tracing: Tracing, took_ms: int, model: str = "m", error: Exception | None = None) -> None:
    """A request that took so long from its head to now."""
    begun = time.monotonic_ns() - took_ms * 1_000_000
    timeline = Timeline(
        received_ns=begun, decode_start_ns=begun + 1_000, decode_end_ns=begun + 3_000,
        queue_start_ns=begun + 3_000, compute_start_ns=begun + 5_000, executions=(BATCH,),
    )  # fmt: skip
    spans.finish(
        tracing, None, timeline, OPERATION, 503 if error else 200, model=model, version=3, error=error
    )


def kept(tracing: Tracing, model: str = "m") -> RecentOfModel:
    found = tracing.recent.of(model)
    assert found is not None
    return found


def test_slow_requests_and_errors_are_kept_apart_and_the_others_not_at_all() -> None:
    tracing = Tracing(recent=Recent(RecentConfig(slow=0.5)))
    finish(tracing, 1)
    finish(tracing, 900)
    finish(tracing, 1, error=QueueFull("the queue is full"))
    assert [each.total_ns // 10**9 for each in kept(tracing).slow] == [0]
    assert [each.error for each in kept(tracing).errors] == ["QueueFull: the queue is full"]


def test_the_oldest_make_room() -> None:
    tracing = Tracing(recent=Recent(RecentConfig(kept=3, slow=0.001)))
    for took_ms in range(10, 20):
        finish(tracing, took_ms)
    assert [each.total_ns // 1_000_000 for each in kept(tracing).slow] == [17, 18, 19]


def test_nothing_is_kept_where_nothing_is_wanted() -> None:
    tracing = Tracing(recent=Recent(RecentConfig(kept=0, slow=0.001)))
    finish(tracing, 10)
    assert not kept(tracing).slow


def test_names_that_are_merely_asked_for_take_up_nothing() -> None:
    tracing = Tracing(recent=Recent(known={"m"}.__contains__))
    for number in range(100):
        finish(tracing, 1, f"nobody{number}", error=QueueFull("full"))
    finish(tracing, 1, error=QueueFull("full"))
    assert set(tracing.recent.models()) == {"m"}


def test_the_models_that_are_remembered_are_bounded() -> None:
    recent = Recent()
    for number in range(MOST_MODELS + 10):
        recent.of(f"m{number}")
    assert len(recent.models()) == MOST_MODELS
    assert "m0" not in recent.models()


def test_a_request_is_told_with_its_stages_and_its_batch() -> None:
    tracing = Tracing(recent=Recent(RecentConfig(slow=0.001)))
    finish(tracing, 10)
    told = document("m", kept(tracing))
    assert told["slow_from_us"] == 1000
    (request,) = told["slow"]
    assert request["stages"] == {"decode": [1, 3], "queue": [3, 5], "execute": [5, None]}
    assert (request["operation"], request["status"], request["version"]) == (OPERATION, 200, 3)
    (batch,) = request["batches"]
    assert batch == {
        "version": 3, "content": "c0ffee", "provider": "CPUExecutionProvider", "instance": 1, "rows": 7,
        "requests": 2, "cut": "full", "again": False, "elements": 0, "padding": 0, "error": "",
        "taken": None, "run": [None, None], "settled": None,
    }  # fmt: skip
    assert told["errors"] == []


@pytest.mark.parametrize("error", [KeyError("/secret/path"), ValueError("secret")])
def test_a_bug_is_named_by_its_class_alone(error: Exception) -> None:
    tracing = Tracing()
    finish(tracing, 1, error=error)
    assert document("m", kept(tracing))["errors"][0]["error"] == type(error).__name__
