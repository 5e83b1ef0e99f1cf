"""POST .../infer: JSON and binary, compression, deadlines, errors, traces."""

import gzip
import json
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.typing import EventDict

from onnxd.errors import ExecutionFailed
from onnxd.inference import InferenceConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.telemetry.tracing import Tracing
from tests.support.http_server import INFER, ROW, HttpServer, http_server
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.serving import (
    FailingRunner,
    HoldingRunner,
    Serving,
    identity_spec,
    served_version,
    serving,
)
from tests.support.spans import sending_to

PATH = "/v2/models/identity/infer"
LENGTH = "Inference-Header-Content-Length"
BODY = np.array(ROW, np.float32).tobytes()
BINARY = json.dumps(
    {
        "id": "seven",
        "inputs": [
            {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
        ],
        "parameters": {"binary_data_output": True},
    }
).encode()


async def infer_binary(server: HttpServer, headers: dict[str, str] | None = None) -> Answer:
    return await server.post(PATH, BINARY + BODY, {LENGTH: str(len(BINARY)), **(headers or {})})


async def test_json_is_answered_with_json(server: HttpServer) -> None:
    answer = await server.post(PATH, INFER)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "identity",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": ROW}],
    }


async def test_binary_is_answered_with_binary(server: HttpServer) -> None:
    answer = await infer_binary(server)
    assert answer.headers["content-type"] == "application/octet-stream"
    json_length = int(answer.headers[LENGTH.lower()])
    document = json.loads(answer.body[:json_length])
    assert document["id"] == "seven"
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert answer.body[json_length:] == BODY


async def test_a_raw_body_is_the_one_input(server: HttpServer) -> None:
    answer = await server.post(PATH, BODY, {LENGTH: "0"})
    assert answer.status == 200
    assert answer.body.endswith(BODY)


async def test_the_version_in_the_path_answers(server: HttpServer) -> None:
    server.stand.serve(served_version(identity_spec()), served_version(identity_spec(version=2)))
    for version in ("1", "2"):
        answer = await server.post(f"/v2/models/identity/versions/{version}/infer", INFER)
        assert answer.json()["model_version"] == version
    assert (await server.post(PATH, INFER)).json()["model_version"] == "2"


async def test_a_large_json_body_is_decoded_beside_the_loop(server: HttpServer) -> None:
    data = list(range(30_000))
    answer = await server.infer(
        {"inputs": [{"name": "x", "shape": [len(data)], "datatype": "FP32", "data": data}]}, "wide"
    )
    assert answer.json()["outputs"][0]["data"] == data


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.1, deflate", "deflate"),
        ("br", None),
        ("identity", None),
        ("gzip;q=0", None),
    ],
)
async def test_an_answer_is_compressed_as_the_client_likes_it(
    server: HttpServer, accepted: str, encoding: str | None
) -> None:
    answer = await infer_binary(server, {"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    match encoding:
        case "gzip":
            body = gzip.decompress(answer.body)
        case "deflate":
            body = zlib.decompress(answer.body)
        case _:
            body = answer.body
    assert body[int(answer.headers[LENGTH.lower()]) :] == BODY


async def test_nothing_but_an_inference_is_ever_compressed(server: HttpServer) -> None:
    headers = {"Accept-Encoding": "gzip, deflate"}
    for answer in (
        await server.get("/v2/models/identity/config", headers),
        await server.get("/v2/models/stats", headers),
        await server.post("/v2/repository/index", b"", headers),
        await server.post(PATH, b"{", headers),
        await server.post("/v2/models/unknown/infer", INFER, headers),
    ):
        assert "content-encoding" not in answer.headers
        assert answer.json()


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"name": "z"}, 400, "z"),
        ({"datatype": "INT32"}, 400, "x"),
        ({"datatype": "fp32"}, 400, "x"),
        ({"shape": [1, 5]}, 400, "x"),
        ({"shape": [9, 4], "data": [0.0] * 36}, 400, "8"),
        ({"data": ["a", "b", "c", "d"]}, 400, "x"),
        ({"data": [1, 2, 3]}, 400, "x"),
    ],
)
async def test_a_wrong_tensor_is_refused_by_name(
    server: HttpServer, change: dict[str, object], status: int, named: str
) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW} | change
    answer = await server.infer({"inputs": [tensor]})
    assert answer.status == status
    assert named in answer.error


async def test_an_unknown_model_is_not_found(server: HttpServer) -> None:
    for path in ("/v2/models/unknown/infer", "/v2/models/identity/versions/9/infer"):
        answer = await server.post(path, INFER)
        assert answer.status == 404
        assert answer.error


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1s", "soon", "9" * 11, "٣"], ids=ascii)
async def test_a_timeout_that_is_no_number_is_refused(server: HttpServer, value: str) -> None:
    data = request_bytes("POST", PATH, INFER).replace(
        b"\r\n\r\n", b"\r\nx-request-timeout-ms: " + value.encode() + b"\r\n\r\n", 1
    )
    answer = await server.send(data)
    assert answer.status == 400
    assert "milliseconds" in answer.error


async def test_a_timeout_that_suffices_changes_nothing(server: HttpServer) -> None:
    assert (await server.post(PATH, INFER, {"x-request-timeout-ms": "30000"})).status == 200


async def test_a_timeout_that_has_passed_is_said_so(server: HttpServer) -> None:
    answer = await server.post(PATH, INFER, {"x-request-timeout-ms": "0"})
    assert answer.status == 504
    assert answer.error


async def test_a_timeout_that_passes_while_the_model_runs_is_said_so(server: HttpServer) -> None:
    spec = identity_spec("held")
    runner = HoldingRunner(spec)
    server.stand.serve(served_version(spec, runner))
    answer = await server.post("/v2/models/held/infer", INFER, {"x-request-timeout-ms": "50"})
    assert answer.status == 504
    runner.release()


async def test_a_full_queue_is_busy_and_says_when_to_come_back(server: HttpServer) -> None:
    spec = identity_spec("held", max_batch_size=0, inputs=identity_spec().inputs)
    runner = HoldingRunner(spec)
    held = served_version(spec, runner, policy=BatchPolicy(max_queue_size=1))
    server.stand.serve(held)
    body = json.dumps({"inputs": [{"name": "x", "shape": [4], "datatype": "FP32", "data": ROW}]}).encode()
    request = request_bytes("POST", "/v2/models/held/infer", body)
    async with connect(server.port) as running, connect(server.port) as waiting:
        await running.send(request)
        await runner.begun.wait()
        await waiting.send(request)
        # The second is in the queue when the third is answered: the server reads them in this order.
        refused = await server.send(request)
        runner.begun.clear()
        runner.release()
        assert (await running.answer()).status == 200
        await runner.begun.wait()
        runner.release()
        assert (await waiting.answer()).status == 200
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.error


async def test_too_many_requests_at_once_are_unavailable() -> None:
    spec = identity_spec("held")
    runner = HoldingRunner(spec)
    stand = serving(
        served_version(identity_spec()), served_version(spec, runner), config=InferenceConfig(max_in_flight=1)
    )
    async with http_server(stand) as server, connect(server.port) as first:
        await first.send(request_bytes("POST", "/v2/models/held/infer", INFER))
        await runner.begun.wait()
        answer = await server.post(PATH, INFER)
        runner.release()
        assert (await first.answer()).status == 200
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


async def test_a_run_that_fails_is_our_500_with_its_reason(server: HttpServer) -> None:
    spec = identity_spec("failing")
    server.stand.serve(served_version(spec, FailingRunner(ExecutionFailed("the node 'div' failed"))))
    answer = await server.post("/v2/models/failing/infer", INFER)
    assert answer.status == 500
    assert answer.error == "the node 'div' failed"


async def test_a_bug_is_opaque_to_the_client_and_whole_in_the_log(
    stand: Serving, own_logs: list[EventDict]
) -> None:
    spec = identity_spec("buggy")
    stand.serve(served_version(spec, FailingRunner(ZeroDivisionError("SECRET"))))
    async with http_server(stand) as server:
        answer = await server.post("/v2/models/buggy/infer", INFER)
        await server.assert_well()
    assert answer.status == 500
    number = answer.headers["x-request-id"]
    assert answer.error == f"internal error (request id {number})"
    (event,) = [event for event in own_logs if event["log_level"] == "error"]
    assert event["request_id"] == number
    assert event["exc_info"]


async def test_the_simple_face_answers_a_row_with_a_row(server: HttpServer) -> None:
    assert (await server.post("/infer", b'{"inputs":[1,2,3,4]}')).json() == {"outputs": ROW}


async def test_the_simple_face_answers_rows_with_rows(server: HttpServer) -> None:
    answer = await server.post("/infer", json.dumps({"inputs": [ROW, ROW[::-1]]}).encode())
    assert answer.json() == {"outputs": [ROW, ROW[::-1]]}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"inputs":1}', b'{"inputs":[]}', b'{"inputs":[1,2]}', b'{"inputs":[[1],[1,2]]}'],
)
async def test_the_simple_face_refuses_what_it_does_not_take(server: HttpServer, body: bytes) -> None:
    answer = await server.post("/infer", body)
    assert answer.status == 400
    assert answer.error


class Collector(SpanExporter):
    """Keeps the spans that are over."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


async def test_a_trace_continues_the_callers_and_shows_each_stage(stand: Serving, quiet: None) -> None:
    collector = Collector()
    tracing = Tracing(sending_to(collector))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with http_server(stand, tracing=tracing) as server:
        await server.post(PATH, INFER, {"traceparent": parent})
        await server.post(PATH, b"{", {"traceparent": "nonsense"})
    spans = {span.name: span for span in collector.spans[:5]}
    assert set(spans) == {"onnxd.infer", "onnxd.decode", "onnxd.queue", "onnxd.execute", "onnxd.encode"}
    root = spans["onnxd.infer"]
    assert root.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert root.parent is not None
    assert root.parent.span_id == 0xB7AD6B7169203331
    assert root.attributes is not None
    assert root.attributes["http.route"] == "/v2/models/{model}/infer"
    assert root.attributes["http.response.status_code"] == 200
    refused = collector.spans[-1]
    assert refused.attributes is not None
    assert refused.attributes["http.response.status_code"] == 400
    assert refused.parent is None
