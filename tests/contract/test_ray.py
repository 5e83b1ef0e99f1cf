"""The protocol through Ray Serve: two replicas behind Ray's proxies, asked as one server is.

What a server of one process is asked by every client is asked here too, and what is different is stated.
"""

import asyncio
import io
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_status import rpc_status

from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.neural_pb2 import InferenceRequest
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, NEURAL_SERVICE
from tests.contract import (
    test_client_compression,
    test_client_inference,
    test_client_questions,
    test_protocol_rows,
)
from tests.contract.http_cases import Case, assert_fits, document, send_to
from tests.contract.stand import fill
from tests.support import graphs
from tests.support.grpc_server import ONES, GrpcCalls, grpc_calls, infer_request, raw_outputs
from tests.support.raw_http import connect, request_bytes
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.server import publish
from tests.support.traffic import Outcome, Window, drive
from tests.support.until import until

pytest.importorskip("ray.serve", reason="needs the extra 'ray'")
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(240)]

TABLES: Final = (test_client_inference, test_client_questions, test_client_compression)
NOT_HERE: Final = {
    "test_an_unloaded_model_answers_again_after_it_was_loaded": "loads and unloads are switched off",
    "test_unloading_what_is_not_there_is_no_error": "likewise",
    "test_loading_what_is_not_there_is_not_found": "likewise",
    "test_loading_what_is_broken_says_why": "likewise",
    "test_the_samples_hold_what_breaks_converters": "asks no server",
}
"""What of the tables for every client is not asked of Ray, and why."""
BODIES: Final[dict[str, Case]] = {
    name: case for name, case in test_protocol_rows.ROWS.items() if "load-of-an-unknown" not in name
}

MESSAGE_BYTES: Final = 2**20
CONFIG: Final = "max_batch_size: 64\n"
LINGERS: Final = CONFIG + "batching: {max_queue_delay: 20ms}\n"
"""Requests are a while in the replica that they came to."""
INFER: Final = "/v2/models/free/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    room = tmp_path_factory.mktemp("ray")
    repository = room / "models"
    repository.mkdir()
    fill(repository, {name for table in (*TABLES, test_protocol_rows) for name in table.MODELS})
    publish(repository, "mean", 1, graphs.row_mean())
    publish(repository, "counter", 1, graphs.row_constant(1), LINGERS)
    settings = {
        "simple.model": "mean",
        "grpc.max_message": MESSAGE_BYTES,
        "watch.settle": "20ms",
        "watch.scan_interval": "500ms",
    }
    scaling = {"min_replicas": 1, "max_replicas": 2, "upscale_delay_s": 0, "downscale_delay_s": 3600}
    with ray_cluster(repository, room, settings, scaling, cpus=3) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(server: RayCluster) -> AsyncIterator[GrpcCalls]:
    async with grpc_calls(server.grpc) as calls:
        yield calls


async def test_requests_that_wait_bring_a_second_replica(server: RayCluster) -> None:
    """The first test: there is one at the start. Its queue is what Ray is told, not its open requests."""
    assert len(server.replicas()) == 1
    seen = set()

    async def both_have_answered() -> bool:
        async with (
            aiohttp.ClientSession(headers={"x-onnxd-timing": "1"}) as session,
            session.post(server.http + INFER, json=document()) as answer,
        ):
            seen.add(answer.headers["x-onnxd-replica"])
        return len(seen) == 2

    done = False
    window = Window(lambda: 1, lambda: 1)
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(drive(server.http, server.grpc, "counter", window, lambda _: done))
        await until(both_have_answered)
        done = True
    assert not load.result().failures


# What every client is asked to do.

for _table in TABLES:
    for _name, _test in vars(_table).items():
        if _name.startswith("test_") and _name not in NOT_HERE:
            globals()[_name] = _test

# HTTP.


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES.keys())
async def test_a_bad_request_has_its_status_and_sentence(server: RayCluster, case: Case) -> None:
    assert_fits(await send_to(server.http_port, case), case)


async def test_a_body_over_the_limit_is_refused_before_it_comes(server: RayCluster) -> None:
    head = request_bytes("POST", INFER, headers={"Content-Length": str(2**26 + 1)})
    async with connect(server.http_port) as connection:
        await connection.send(head.replace(b"Content-Length: 0\r\n", b""))
        answer = await connection.answer()
    assert answer.status == 413
    assert str(2**26) in answer.error


async def test_a_body_in_chunks_is_one_body(server: RayCluster) -> None:
    body = json.dumps(document()).encode()

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 20):
            yield body[start : start + 20]

    async with aiohttp.ClientSession() as session, session.post(server.http + INFER, data=parts()) as answer:
        assert (await answer.json())["outputs"][0]["data"] == [2.0, 3.0]


async def test_large_tensors_come_back_as_they_went(server: RayCluster) -> None:
    sent = np.arange(2**20, dtype=np.float32)
    head = json.dumps(
        document(
            {
                "name": "x",
                "shape": [sent.size],
                "datatype": "FP32",
                "parameters": {"binary_data_size": sent.nbytes},
            }
        )
        | {"parameters": {"binary_data_output": True}}
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.http + INFER, data=io.BytesIO(head + sent.tobytes()), headers=headers) as answer,
    ):
        body = await answer.read()
        start = int(answer.headers["Inference-Header-Content-Length"])
    assert (np.frombuffer(body[start:], np.float32) == sent + 1).all()


async def test_an_answer_has_each_header_once(server: RayCluster) -> None:
    async with (
        aiohttp.ClientSession(headers={"x-request-id": "mine", "x-onnxd-timing": "1"}) as session,
        session.post(server.http + INFER, json=document()) as answer,
    ):
        names = Counter(name.lower() for name, _ in answer.raw_headers)
        assert answer.headers["x-request-id"] == "mine"
    assert set(names.values()) == {1}
    assert b"x-onnxd-batch" in names


async def test_the_time_that_a_header_allows_is_kept(server: RayCluster) -> None:
    headers = {"x-request-timeout-ms": "0"}
    body = document({"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.http}/v2/models/counter/infer", json=body, headers=headers) as answer,
    ):
        assert answer.status == 504
        assert "deadline" in (await answer.json())["error"]


async def test_there_is_nothing_to_scrape(server: RayCluster) -> None:
    answer = await send_to(server.http_port, Case("", b"", path="/metrics", method="GET"))
    assert answer.status == 404


async def test_events_come_as_they_happen(server: RayCluster) -> None:
    async with aiohttp.ClientSession() as session, session.get(server.http + "/v2/events") as answer:
        assert answer.content_type == "text/event-stream"
        line = await answer.content.readline()
    assert line.strip()


REGION: Final = b'{"key": "/region", "byte_size": 4}'
CONTROL: Final = {
    "a-load": ("/v2/repository/models/rows/load", b"{}", "model_control_api"),
    "an-unload": ("/v2/repository/models/rows/unload", b"{}", "model_control_api"),
    "trace-settings": ("/v2/trace/setting", b'{"trace_rate": "2"}', "settings_api"),
    "log-settings": ("/v2/logging", b'{"log_info": false}', "settings_api"),
    "shared-memory": ("/v2/systemsharedmemory/region/r/register", REGION, "shared memory"),
}


@pytest.mark.parametrize(("path", "body", "phrase"), CONTROL.values(), ids=CONTROL.keys())
async def test_what_one_replica_alone_would_hear_of_is_refused(
    server: RayCluster, path: str, body: bytes, phrase: str
) -> None:
    assert_fits(
        await send_to(server.http_port, Case("", body, 403, phrase, path=path)), Case("", b"", 403, phrase)
    )


# gRPC.


async def test_a_refusal_has_its_code_text_and_when_to_come_again(calls: GrpcCalls) -> None:
    request = infer_request("counter", {"x": ONES})
    request.parameters["timeout"].int64_param = 1  # a microsecond in the queue, where it would wait longer
    refused = await calls.refusal("ModelInfer", request)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert "'counter'" in refused.details
    error: Any = refused.error
    status: Any = rpc_status.from_call(error)
    [detail] = status.details
    retry = RetryInfo()
    assert detail.Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() > 0


async def test_metadata_bring_an_id_and_take_it_back_with_the_times(calls: GrpcCalls) -> None:
    call = calls.start(
        "ModelInfer",
        infer_request("rows", {"x": ONES}),
        metadata=(("x-request-id", "mine"), ("x-onnxd-timing", "1")),
    )
    assert raw_outputs(await call) == {"y": (ONES + 1).tobytes()}
    trailers = dict(await call.trailing_metadata())
    assert trailers["x-request-id"] == "mine"
    assert trailers["x-onnxd-replica"]


async def test_a_stream_is_answered_in_order_and_errors_are_messages(calls: GrpcCalls) -> None:
    stream = calls.stream()
    for number in range(20):
        model = "nothing" if number == 7 else "rows"
        await stream.write(infer_request(model, {"x": ONES * number}, id=str(number)))
    await stream.done_writing()
    answers = [answer async for answer in stream]
    assert [answer.infer_response.id for answer in answers] == [str(number) for number in range(20)]
    assert ["nothing" in answer.error_message for answer in answers].index(True) == 7
    assert raw_outputs(answers[19].infer_response) == {"y": (ONES * 19 + 1).tobytes()}
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_stream_may_end_with_its_first_error(calls: GrpcCalls) -> None:
    stream = calls.stream(metadata=(("triton_grpc_error", "true"),))
    for model in ("rows", "nothing"):
        await stream.write(infer_request(model, {"x": ONES}))
    assert (await stream.read()).infer_response.model_name == "rows"
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    assert ended.value.code() is grpc.StatusCode.NOT_FOUND
    assert "unknown model 'nothing'" in (ended.value.details() or "")


async def test_a_message_over_the_limit_is_refused(calls: GrpcCalls) -> None:
    refused = await calls.refusal("ModelInfer", b"\x00" * (MESSAGE_BYTES + 1))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc.max_message" in refused.details


async def test_bytes_that_are_no_message_are_refused(calls: GrpcCalls) -> None:
    refused = await calls.refusal("ModelInfer", b"\xff\xff\xff")
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="rows")),
        ("SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name="r", key="/r", byte_size=4)),
    ],
)
async def test_control_of_one_replica_is_refused_over_grpc_too(
    calls: GrpcCalls, name: str, request_: Message
) -> None:
    refused = await calls.refusal(name, request_)
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


async def test_the_simple_face_answers_rows_and_streams(calls: GrpcCalls) -> None:
    answer = await calls.ask("Infer", InferenceRequest(inputs=[1, 2, 3, 6]), service=NEURAL_SERVICE)
    assert list(answer.outputs) == [3.0]
    stream = calls.stream("InferStream", service=NEURAL_SERVICE)
    for number in range(3):
        await stream.write(InferenceRequest(inputs=[number] * 4))
    await stream.done_writing()
    assert [list(each.outputs) async for each in stream] == [[0.0], [1.0], [2.0]]


async def test_health_is_checked_and_cannot_be_watched(calls: GrpcCalls) -> None:
    def ask(name: str) -> Any:
        path = f"/grpc.health.v1.Health/{name}"
        call: Any = calls.channel.unary_unary(path, None, HealthCheckResponse.FromString)
        return call(HealthCheckRequest(service=GRPC_INFERENCE_SERVICE).SerializeToString())

    assert (await ask("Check")).status == HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask("Watch")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_the_messages(calls: GrpcCalls, version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    stream: Any = calls.channel.stream_stream(path, None, ServerReflectionResponse.FromString)()
    asked = ServerReflectionRequest(file_containing_symbol=GRPC_INFERENCE_SERVICE)
    await stream.write(asked.SerializeToString())
    assert (await stream.read()).file_descriptor_response.file_descriptor_proto
    await stream.done_writing()


# Both.


async def test_a_model_is_replaced_in_all_replicas_and_no_request_fails(server: RayCluster) -> None:
    last: Counter[int] = Counter()
    newest = 1

    def stop(outcome: Outcome) -> bool:
        nonlocal newest
        if outcome.failures:
            return True
        now = Counter(outcome.numbers)
        if newest < 3 and now[newest] > 20:
            newest += 1
            publish(server.repository, "counter", 1, graphs.row_constant(newest), LINGERS)
        # The newest one alone has answered a good many: both replicas have it.
        if now[3] - last[3] > 20:
            done = now[3] - last[3] == now.total() - last.total()
            last.clear()
            last.update(now)
            return done
        return False

    window = Window(oldest=lambda: 1, newest=lambda: newest)
    outcome = await drive(server.http, server.grpc, "counter", window, stop, connections=8)
    assert not outcome.failures
    assert (outcome.mixed, outcome.stale) == (0, 0)
    assert set(outcome.numbers) == {1, 2, 3}


async def test_a_replica_that_is_killed_costs_the_requests_in_it_alone(server: RayCluster) -> None:
    """The last test: the two replicas are one for a while."""
    before = server.replicas()
    assert len(before) == 2
    killed, answered = min(before), 0

    def stop(outcome: Outcome) -> bool:
        nonlocal answered
        if not answered and outcome.answered >= 50:
            answered = outcome.answered
            os.kill(killed, signal.SIGKILL)
        return bool(answered) and outcome.answered >= answered + 100

    window = Window(oldest=lambda: 1, newest=lambda: 3)
    connections = 8
    outcome = await drive(server.http, server.grpc, "counter", window, stop, connections=connections)
    # By the proxies, in Ray's words.
    assert all("500 " in failure or "INTERNAL" in failure for failure in outcome.failures), outcome.failures
    # Each connection has one request at a time, so one that failed twice was not only in flight.
    assert outcome.failures.total() <= connections, outcome.failures
    assert outcome.mixed == 0
