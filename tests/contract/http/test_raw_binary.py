"""Raw binary requests (`Inference-Header-Content-Length: 0`), and which outputs are answered as bytes."""

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from onnxd.tensors import Datatype
from tests.support.http_server import HttpServer, http_server
from tests.support.raw_http import Answer
from tests.support.serving import identity_spec, served_version, serving, tensor

LENGTH = "Inference-Header-Content-Length"
RAW = {LENGTH: "0"}
FLOATS = np.arange(1, 9, dtype=np.float32)


@pytest.fixture
async def server(quiet: None) -> AsyncIterator[HttpServer]:
    """Models that are named after the shape of `x`, whose last part is the largest batch."""

    def model(name: str, *shape: int, rows: int = 0, datatype: Datatype = Datatype.FP32) -> Any:
        spec = identity_spec(name, inputs=(tensor("x", *shape, datatype=datatype),), max_batch_size=rows)
        return served_version(spec)

    stand = serving(
        served_version(identity_spec()),
        served_version(identity_spec("pair", inputs=(tensor("a", 4), tensor("b", 4)))),
        model("fixed", 2, 4),
        model("scalar"),
        model("free", -1),
        model("free-of-4", -1, 4),
        model("free-of-4-in-rows", 4, -1, rows=8),
        model("grid", -1, -1),
        model("text", 1, datatype=Datatype.BYTES),
        model("text-in-rows", -1, datatype=Datatype.BYTES, rows=8),
        model("texts", 2, datatype=Datatype.BYTES),
        model("half", -1, datatype=Datatype.FP16),
    )
    async with http_server(stand) as running:
        yield running
        await running.assert_well()


async def ask(server: HttpServer, model: str, body: bytes, **headers: str) -> Answer:
    return await server.post(f"/v2/models/{model}/infer", body, {**RAW, **headers})


def only_output(answer: Answer) -> tuple[list[int], bytes]:
    assert answer.status == 200, answer.body
    length = int(answer.headers.get(LENGTH.lower(), len(answer.body)))
    [output] = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": len(answer.body) - length}
    return output["shape"], answer.body[length:]


@pytest.mark.parametrize(
    ("model", "body", "shape"),
    [
        ("identity", FLOATS[:4].tobytes(), [1, 4]),
        ("fixed", FLOATS.tobytes(), [2, 4]),
        ("scalar", FLOATS[:1].tobytes(), []),
        ("free", FLOATS.tobytes(), [8]),
        ("free", b"", [0]),
        ("free-of-4", FLOATS.tobytes(), [2, 4]),
        ("free-of-4-in-rows", FLOATS.tobytes(), [1, 4, 2]),
        ("half", FLOATS.astype(np.float16).tobytes(), [8]),
    ],
)
async def test_the_body_is_the_tensor(server: HttpServer, model: str, body: bytes, shape: list[int]) -> None:
    assert only_output(await ask(server, model, body)) == (shape, body)


@pytest.mark.parametrize("text", ["", "häuser", "\0 {not json", "x" * 100_000])
async def test_the_body_is_the_one_text(server: HttpServer, text: str) -> None:
    content = text.encode()
    element = len(content).to_bytes(4, "little") + content
    assert only_output(await ask(server, "text", content)) == ([1], element)
    assert only_output(await ask(server, "text-in-rows", content)) == ([1, 1], element)


async def chunked(server: HttpServer, model: str, chunks: Sequence[bytes]) -> Answer:
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\n{LENGTH}: 0\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return await server.send(head + body + b"0\r\n\r\n")


async def test_it_may_come_in_chunks(server: HttpServer) -> None:
    body = FLOATS.tobytes()
    for chunks in ([body], [body[at : at + 1] for at in range(32)], [body[:5], body[5:]]):
        assert only_output(await chunked(server, "fixed", chunks)) == ([2, 4], body)
    assert only_output(await chunked(server, "free", [])) == ([0], b"")
    assert only_output(await chunked(server, "text", [b"h", b"i"])) == ([1], b"\2\0\0\0hi")
    assert (await chunked(server, "fixed", [body, b"more"])).status == 400


async def test_it_may_be_compressed(server: HttpServer) -> None:
    body = FLOATS.tobytes()
    answer = await ask(server, "fixed", gzip.compress(body), **{"Content-Encoding": "gzip"})
    assert only_output(answer) == ([2, 4], body)


async def test_the_version_in_the_path_holds(server: HttpServer) -> None:
    path = "/v2/models/fixed/versions/{}/infer"
    assert (await server.post(path.format(1), FLOATS.tobytes(), RAW)).status == 200
    assert (await server.post(path.format(2), FLOATS.tobytes(), RAW)).status == 404


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        ("pair", FLOATS.tobytes(), "one input"),
        ("fixed", FLOATS.tobytes()[:-1], "32 bytes"),
        ("fixed", FLOATS.tobytes() + b"\0", "32 bytes"),
        ("fixed", b"", "32 bytes"),
        ("identity", FLOATS.tobytes(), "16 bytes"),
        ("free", b"12345", "'x'"),
        ("free-of-4", FLOATS.tobytes()[:20], "'x'"),
        ("grid", FLOATS.tobytes(), "one dimension"),
        ("texts", b"one", "one BYTES element"),
        ("text", b"\xff", "UTF-8"),
    ],
)
async def test_what_is_not_the_tensor_is_refused(
    server: HttpServer, model: str, body: bytes, words: str
) -> None:
    answer = await ask(server, model, body)
    assert answer.status == 400
    assert words in answer.error


def two_outputs(*outputs: dict[str, Any], default: bool | None = None) -> bytes:
    inputs = [{"name": name, "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]} for name in "ab"]
    document: dict[str, Any] = {"inputs": inputs}
    if outputs:
        document["outputs"] = outputs
    if default is not None:
        document["parameters"] = {"binary_data_output": default}
    return json.dumps(document).encode()


def output(name: str, binary: bool | None = None) -> dict[str, Any]:
    return {"name": name} if binary is None else {"name": name, "parameters": {"binary_data": binary}}


@pytest.mark.parametrize(
    ("body", "as_bytes"),
    [
        pytest.param(two_outputs(), [False, False], id="nothing is said"),
        pytest.param(two_outputs(default=True), [True, True], id="the request says bytes"),
        pytest.param(
            two_outputs(output("y", False), output("y1"), default=True), [False, True], id="one says JSON"
        ),
        pytest.param(
            two_outputs(output("y", True), output("y1"), default=False), [True, False], id="one says bytes"
        ),
        pytest.param(two_outputs(output("y", True), output("y1", False)), [True, False], id="each says"),
        pytest.param(
            two_outputs(output("y", True), output("y1")), [True, False], id="one says, one does not"
        ),
    ],
)
async def test_an_output_is_answered_as_it_says_itself_before_what_the_request_says(
    server: HttpServer, body: bytes, as_bytes: list[bool]
) -> None:
    answer = await server.post("/v2/models/pair/infer", body)
    assert answer.status == 200
    length = int(answer.headers.get(LENGTH.lower(), len(answer.body)))
    outputs = json.loads(answer.body[:length])["outputs"]
    assert ["parameters" in each for each in outputs] == as_bytes
    assert ["data" not in each for each in outputs] == as_bytes
    assert answer.body[length:] == FLOATS[:4].tobytes() * sum(as_bytes)


@pytest.mark.parametrize("second", [output("y"), output("y", True)])
async def test_an_output_that_is_named_twice_is_refused(server: HttpServer, second: dict[str, Any]) -> None:
    answer = await server.post("/v2/models/pair/infer", two_outputs(output("y"), second))
    assert answer.status == 400
    assert "'y' appears twice" in answer.error
