"""Plans driven by hand: the clock moves only when a plan waits."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import pytest

from onnxd_client import plan
from onnxd_client.errors import (
    ConnectFailed,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    ServerError,
    Unavailable,
)
from onnxd_client.http_codec import HttpCodec, HttpReply, HttpRequest
from onnxd_client.plan import Attempt
from onnxd_client.retry import RetryPolicy
from onnxd_client.session import Options, Session
from tests.unit.client.servers import METADATA

Reply = HttpReply | ServerError | Callable[[], ServerError]


class World:
    """A server that answers from a script, and time that passes only by waiting."""

    def __init__(self, *replies: Reply) -> None:
        self.now = 100.0
        self.replies = list(replies)
        self.attempts: list[Attempt[HttpRequest]] = []
        self.session: Session[HttpRequest, HttpReply] = Session(
            HttpCodec(),
            deadline=60.0,
            headers={"Authorization": "Bearer x"},
            policy=RetryPolicy(),
            clock=lambda: self.now,
            chance=lambda: 1.0,
        )

    def send(self, attempt: Attempt[HttpRequest]) -> HttpReply:
        self.attempts.append(attempt)
        reply = self.replies.pop(0)
        if isinstance(reply, HttpReply):
            return reply
        raise reply if isinstance(reply, ServerError) else reply()

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def live(self, deadline: float | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """A call that retries; what it asks does not matter."""
        exchange = self.session.codec.server()
        return plan.run(
            self.session.call(exchange, self.session.context(deadline, headers)), self.send, self.sleep
        )

    def infer(self, inputs: Any) -> Any:
        context = self.session.context(None, None)
        return plan.run(self.session.infer("digits", inputs, Options(), context), self.send, self.sleep)

    @property
    def paths(self) -> list[str]:
        return [attempt.request.path for attempt in self.attempts]


def ok(document: Any) -> HttpReply:
    return HttpReply(200, {}, orjson.dumps(document))


def failed(status: int, **headers: str) -> HttpReply:
    return HttpReply(status, headers, b'{"error":"x"}')


SERVER = ok({"name": "onnxd", "version": "1"})
ANSWER = ok({"model_name": "digits", "outputs": []})
INFER, ABOUT = "/v2/models/digits/infer", "/v2/models/digits"


def test_a_busy_server_is_asked_again_after_growing_waits() -> None:
    world = World(failed(503), failed(503), failed(503), SERVER)
    assert world.live().name == "onnxd"
    assert [attempt.delay for attempt in world.attempts] == [0.0, 0.1, 0.2, 0.4]


def test_the_last_error_is_raised_when_tries_run_out() -> None:
    world = World(*[failed(503)] * 4)
    with pytest.raises(Unavailable):
        world.live()
    assert len(world.attempts) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 429, 500])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    world = World(failed(status))
    with pytest.raises(ServerError):
        world.live()
    assert len(world.attempts) == 1


def test_the_servers_hint_is_waited_out() -> None:
    world = World(HttpReply(429, {"retry-after": "5"}, b""), SERVER)
    world.live()
    assert world.now == 105.0


def test_one_deadline_spans_all_tries() -> None:
    world = World(HttpReply(503, {"retry-after": "2"}, b""), ConnectFailed("x"), SERVER)
    world.live(deadline=3.0)
    assert [attempt.timeout for attempt in world.attempts] == pytest.approx([3.0, 1.0, 0.8])
    assert [attempt.headers["x-request-timeout-ms"] for attempt in world.attempts] == ["3000", "1000", "800"]


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    world = World(HttpReply(503, {"retry-after": "2"}, b""))
    with pytest.raises(Unavailable):
        world.live(deadline=1.5)
    assert world.now == 100.0


def test_a_timeout_is_final_when_no_time_is_left_and_tried_again_when_some_is() -> None:
    world = World()

    def late() -> ServerError:
        world.now += 0.4
        return DeadlineExceeded("gateway")

    world.replies += [late, late, late]
    with pytest.raises(DeadlineExceeded):
        world.live(deadline=1.0)
    assert len(world.attempts) == 2


def test_infinity_is_no_deadline() -> None:
    world = World(SERVER)
    world.live(deadline=math.inf)
    assert world.attempts[0].timeout == math.inf
    assert "x-request-timeout-ms" not in world.attempts[0].headers


@pytest.mark.parametrize("deadline", [0, -1, math.nan])
def test_a_deadline_that_makes_no_sense_is_refused(deadline: float) -> None:
    with pytest.raises(ValueError, match="deadline"):
        World().live(deadline=deadline)


def test_headers_of_the_call_win_over_the_clients_whatever_their_case() -> None:
    world = World(SERVER)
    world.live(headers={"AUTHORIZATION": "Bearer y", "X-Other": "z"})
    assert world.attempts[0].headers["authorization"] == "Bearer y"
    assert world.attempts[0].headers["x-other"] == "z"


def test_every_try_sends_the_same_request() -> None:
    world = World(failed(503), ANSWER)
    world.infer({"pixels": np.zeros(1)})
    assert world.attempts[0].request is world.attempts[1].request


def test_health_is_asked_once_and_nobody_there_is_an_answer() -> None:
    for reply, healthy in (
        (ConnectFailed("x"), False),
        (failed(503), False),
        (HttpReply(200, {}, b""), True),
    ):
        world = World(reply)
        context = world.session.context(None, None)
        found = plan.run(world.session.probe(world.session.codec.live(), context), world.send, world.sleep)
        assert found is healthy


def test_a_lost_connection_says_nothing_about_health() -> None:
    world = World(Unavailable("reset"))
    context = world.session.context(None, None)
    with pytest.raises(Unavailable):
        plan.run(world.session.probe(world.session.codec.live(), context), world.send, world.sleep)


def test_arrays_need_no_metadata() -> None:
    world = World(ANSWER)
    world.infer({"pixels": np.zeros((1, 64))})
    assert world.paths == [INFER]


def test_metadata_is_asked_for_once() -> None:
    world = World(ok(METADATA), ANSWER, ANSWER)
    world.infer({"pixels": [[0.0]]})
    world.infer(np.zeros((1, 64)))
    assert world.paths == [ABOUT, INFER, INFER]


def test_a_model_that_was_replaced_is_asked_about_again() -> None:
    renamed = {**METADATA, "inputs": [{"name": "image", "datatype": "FP64", "shape": [1]}]}
    world = World(ok(METADATA), ANSWER, failed(400), ok(renamed), ANSWER)
    world.infer([1.0])
    world.infer([1.0])
    assert world.paths == [ABOUT, INFER, INFER, ABOUT, INFER]
    assert b'"image"' in world.attempts[-1].request.body


def test_a_request_that_is_wrong_for_the_model_as_it_is_fails_with_the_first_error() -> None:
    world = World(ok(METADATA), ANSWER, failed(400), ok(METADATA))
    world.infer([1.0])
    with pytest.raises(InvalidRequest, match=r"^x$"):
        world.infer([1.0])
    assert world.paths == [ABOUT, INFER, INFER, ABOUT]


def test_metadata_that_was_just_read_is_not_doubted() -> None:
    world = World(ok(METADATA), failed(404))
    with pytest.raises(NotFound):
        world.infer([1.0])
    assert world.paths == [ABOUT, INFER]


def test_a_name_alone_for_outputs_is_refused() -> None:
    world = World()
    context = world.session.context(None, None)
    with pytest.raises(InvalidRequest, match="write \\['scores'\\]"):
        plan.run(
            world.session.infer("digits", {}, Options(outputs="scores"), context), world.send, world.sleep
        )


def test_classes_are_outputs_too() -> None:
    world = World(ANSWER)
    context = world.session.context(None, None)
    options = Options(outputs=iter(["a", "scores"]), classes={"scores": 3, "b": 1})
    plan.run(world.session.infer("digits", {}, options, context), world.send, world.sleep)
    head = orjson.loads(world.attempts[0].request.body)
    assert [(one["name"], one["parameters"].get("classification")) for one in head["outputs"]] == [
        ("a", None),
        ("scores", 3),
        ("b", 1),
    ]
