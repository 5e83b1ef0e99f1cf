import math
from typing import Any

import numpy as np
import orjson
import pytest

from onnxd_client import tensors
from onnxd_client.codec import InferCall, LoadOverride
from onnxd_client.errors import InvalidRequest, NotFound, RateLimited, ServerError, ServerFault
from onnxd_client.http_codec import HttpCodec, HttpReply
from tests.unit.client.servers import METADATA, packed

CODEC = HttpCodec(now=lambda: 0.0)
PIXELS = tensors.encode("pixels", np.ones((1, 2), np.float32))
WORDS = tensors.encode("words", np.array(["a"], dtype=object))


def call(**changes: Any) -> InferCall:
    return InferCall(**{"model": "digits", "version": "", "inputs": (PIXELS, WORDS), **changes})


def document(infer: InferCall) -> tuple[Any, bytes]:
    request = CODEC.infer(infer).request
    length = int(request.headers["Inference-Header-Content-Length"])
    return orjson.loads(request.body[:length]), request.body[length:]


def reply(head: Any, tail: bytes = b"", status: int = 200, **headers: str) -> HttpReply:
    body = head if isinstance(head, bytes) else orjson.dumps(head)
    length = {"inference-header-content-length": str(len(body))} if tail else {}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status, {**length, **names}, body + tail)


def answer(*outputs: Any, **more: Any) -> Any:
    return {"model_name": "digits", "model_version": "2", "outputs": list(outputs), **more}


def output(name: str = "x", datatype: str = "FP32", shape: Any = (2,), size: Any = 8) -> Any:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_an_inference_is_json_with_the_tensors_behind_it() -> None:
    request = CODEC.infer(call()).request
    assert (request.method, request.path) == ("POST", "/v2/models/digits/infer")
    head, tail = document(call())
    assert head == {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": "pixels", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "words", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}},
        ],
    }
    assert tail == np.ones(2, "<f4").tobytes() + packed(b"a")


def test_each_requested_output_is_asked_for_in_binary() -> None:
    head, _ = document(call(outputs={"scores": None, "label": 3}))
    assert "parameters" not in head
    assert head["outputs"] == [
        {"name": "scores", "parameters": {"binary_data": True}},
        {"name": "label", "parameters": {"binary_data": True, "classification": 3}},
    ]


def test_everything_else_is_written_where_the_protocol_wants_it() -> None:
    infer = call(
        version="3", id="a", priority=1, parameters={"sequence_id": 2**63, "x": 0.5, "y": "z", "w": True}
    )
    assert CODEC.infer(infer).request.path == "/v2/models/digits/versions/3/infer"
    head, _ = document(infer)
    assert head["id"] == "a"
    assert head["parameters"] == {
        "sequence_id": 2**63,
        "x": 0.5,
        "y": "z",
        "w": True,
        "priority": 1,
        "binary_data_output": True,
    }


def test_names_are_escaped_into_one_segment_behind_the_prefix() -> None:
    codec = HttpCodec("/base")
    assert codec.metadata("a/b c", "1?").request.path == "/base/v2/models/a%2Fb%20c/versions/1%3F"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_leave_its_place_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="model name"):
        CODEC.metadata(name, "")


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**64, "\ud800"])
def test_a_parameter_that_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest):
        CODEC.infer(call(parameters={"x": value}))


@pytest.mark.parametrize(("left", "header"), [(0.5, "500"), (0.0001, "1"), (1.0001, "1001")])
def test_the_deadline_is_whole_milliseconds_and_never_zero(left: float, header: str) -> None:
    assert CODEC.deadline_headers(left) == {"x-request-timeout-ms": header}


def test_no_deadline_sends_no_header() -> None:
    assert CODEC.deadline_headers(math.inf) == {}


def test_an_answer_is_read() -> None:
    tail = np.array([1, 2], "<f4").tobytes() + packed(b"a")
    head = answer(output("x"), output("y", "BYTES", [1], 5), id="i", parameters={"p": 1})
    result = CODEC.infer(call()).read(reply(head, tail))
    assert (result.model_name, result.model_version, result.id) == ("digits", "2", "i")
    assert result.parameters == {"p": 1}
    assert result["x"].tolist() == [1, 2]
    assert result["y"].tolist() == [b"a"]


def test_an_answer_of_empty_tensors_has_no_binary_part() -> None:
    result = CODEC.infer(call()).read(reply(answer(output(shape=[0, 3], size=0))))
    assert result["x"].shape == (0, 3)


def test_an_answer_without_the_binary_extension_is_read() -> None:
    head = answer({"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]})
    assert CODEC.infer(call()).read(reply(head))["x"].tolist() == [[1, 2]]


def test_numbers_that_only_some_json_has_are_read() -> None:
    body = b'{"model_name":"m","outputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[NaN,-Infinity]}]}'
    assert str(CODEC.infer(call()).read(reply(body))["x"].tolist()) == "[nan, -inf]"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(reply(b"<html>"), id="not JSON"),
        pytest.param(reply(b"[" * 100_000), id="bottomless JSON"),
        pytest.param(reply([]), id="not an object"),
        pytest.param(reply({}), id="no outputs"),
        pytest.param(reply(answer({})), id="an output of nothing"),
        pytest.param(reply(answer(output(shape=[-1]))), id="a negative shape"),
        pytest.param(reply(answer(output(shape="ab"))), id="a shape of text"),
        pytest.param(reply(answer(output(size="8"))), id="a size of text"),
        pytest.param(reply(answer(output(size=-1)), b"1"), id="a negative size"),
        pytest.param(reply(answer(output(size=9)), b"12345678"), id="a size beyond the end"),
        pytest.param(reply(answer(output()), b"123456789"), id="bytes left over"),
        pytest.param(reply(answer(), inference_header_content_length="99999"), id="a header beyond the end"),
        pytest.param(reply(answer(), inference_header_content_length="-1"), id="a negative header"),
    ],
)
def test_an_answer_that_is_not_the_protocol_is_the_servers_fault(broken: HttpReply) -> None:
    with pytest.raises(ServerFault):
        CODEC.infer(call()).read(broken)


def test_an_error_carries_the_servers_words_its_status_and_its_hint() -> None:
    with pytest.raises(RateLimited, match=r"^slow down$") as raised:
        CODEC.infer(call()).read(reply({"error": "slow down"}, status=429, retry_after="7"))
    assert (raised.value.retry_after, raised.value.status) == (7.0, "HTTP 429")


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", "^HTTP 404$"), (b"<p>no</p>", "^HTTP 404: <p>no</p>$"), (b"[]", "HTTP 404"), (b'"x"', "HTTP 404")],
)
def test_an_error_without_words_still_says_something(body: bytes, text: str) -> None:
    with pytest.raises(NotFound, match=text):
        CODEC.server().read(HttpReply(404, {}, body))


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (400, False), (503, False)])
def test_health_is_in_the_status(status: int, healthy: bool) -> None:
    assert CODEC.live().read(HttpReply(status, {}, b"")) is healthy
    assert CODEC.ready().read(HttpReply(status, {}, b"")) is healthy
    assert CODEC.model_ready("m", "").read(HttpReply(status, {}, b"")) is healthy


def test_an_unknown_model_is_not_ready_but_an_unknown_route_is_an_error() -> None:
    assert CODEC.model_ready("m", "").read(HttpReply(404, {}, b"")) is False
    with pytest.raises(NotFound):
        CODEC.live().read(HttpReply(404, {}, b""))


def test_metadata_is_read() -> None:
    found = CODEC.metadata("digits", "").read(reply(METADATA))
    assert found.versions == ("1", "2")
    assert (found.inputs[0].name, found.inputs[0].datatype, found.inputs[0].shape) == (
        "pixels",
        "FP32",
        (-1, 64),
    )


def test_the_repositorys_index_is_read() -> None:
    exchange = CODEC.index(ready=True)
    assert (exchange.request.path, exchange.request.body) == ("/v2/repository/index", b'{"ready":true}')
    found = exchange.read(reply([{"name": "a", "version": "1", "state": "READY"}, {"name": "b"}]))
    assert [(one.name, one.version, one.state, one.reason) for one in found] == [
        ("a", "1", "READY", ""),
        ("b", "", "", ""),
    ]


def test_the_rest_of_the_paths() -> None:
    assert CODEC.statistics("", "").request.path == "/v2/models/stats"
    assert CODEC.statistics("m", "2").request.path == "/v2/models/m/versions/2/stats"
    assert CODEC.config("m", "").request.path == "/v2/models/m/config"
    assert CODEC.load("m", LoadOverride()).request.path == "/v2/repository/models/m/load"
    assert CODEC.unload("m").request.path == "/v2/repository/models/m/unload"
    assert CODEC.load("m", LoadOverride()).read(HttpReply(200, {}, b"")) is None


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"1", b'{"model_stats":1}', b'{"model_stats":[1]}', b"", b"{"]
)
def test_documents_of_another_form_are_the_servers_fault(body: bytes) -> None:
    for exchange in (CODEC.metadata("m", ""), CODEC.server(), CODEC.statistics("m", "")):
        with pytest.raises(ServerFault):
            exchange.read(HttpReply(200, {}, body))
    with pytest.raises(ServerError):
        CODEC.index(False).read(HttpReply(200, {}, b"1"))
