"""Errors on ModelStreamInfer: among the answers, or as the end of the stream if its caller wants that."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc.aio

from onnxd.errors import ExecutionFailed
from onnxd.scheduler.policy import BatchPolicy
from onnxd_client import AsyncClient, Client, InvalidRequest, NotFound, ServerError, ServerFault
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcServer, infer_request
from tests.support.serving import (
    FailingRunner,
    HoldingRunner,
    Serving,
    identity_spec,
    served_version,
    serving,
)
from tests.support.until import until

AS_STATUS = (("triton_grpc_error", "true"),)
FINAL = "triton_final_response"


def request(model: str = "identity", id: str = "", version: str = "") -> pb.ModelInferRequest:
    return infer_request(model, {"x": ONES}, id=id, version=version)


def wrong_shape(id: str = "") -> pb.ModelInferRequest:
    return infer_request("identity", {"x": np.ones((1, 5), np.float32)}, id=id)


@pytest.fixture
async def stand(holding: HoldingRunner) -> Serving:
    """`identity` answers, `failing` fails in its run, `held` runs one until told and lets one wait."""
    return serving(
        served_version(identity_spec()),
        served_version(identity_spec("failing"), FailingRunner(ExecutionFailed("the run failed"))),
        served_version(
            identity_spec("held", max_batch_size=1), holding, policy=BatchPolicy(max_queue_size=1)
        ),
    )


async def read_all(stream: Any) -> list[pb.ModelStreamInferResponse]:
    """The answers until the stream ends, however it ends."""
    answers = []
    try:
        while (answer := await stream.read()) is not grpc.aio.EOF:
            answers.append(answer)
    except grpc.aio.AioRpcError:
        pass
    return answers


@pytest.mark.parametrize(
    "metadata", [(), (("triton_grpc_error", "false"),)], ids=["as it is", "switched off"]
)
async def test_an_error_before_the_queue_is_an_answer_with_nothing_but_its_id(
    server: GrpcServer, metadata: Any
) -> None:
    stream = server.calls.stream(metadata=metadata)
    for number, bad in enumerate((request("nobody", "0"), wrong_shape("1"))):
        await stream.write(bad)
        answer = await stream.read()
        assert answer.error_message
        assert answer.infer_response == pb.ModelInferResponse(id=str(number))
    await stream.write(request(id="2"))
    assert (await stream.read()).infer_response.id == "2"
    await stream.done_writing()
    assert await read_all(stream) == []
    assert await stream.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("version", ["", "1"])
async def test_an_error_of_a_run_names_its_model_as_it_was_asked_for(
    server: GrpcServer, version: str
) -> None:
    stream = server.calls.stream()
    await stream.write(request("failing", "7", version))
    answer = await stream.read()
    assert answer.error_message == "the run failed"
    response = answer.infer_response
    assert (response.id, response.model_name, response.model_version) == ("7", "failing", version)
    assert response.parameters[FINAL].bool_param
    assert not response.outputs
    await stream.done_writing()
    assert await read_all(stream) == []


@pytest.mark.parametrize("wanted", [True, False])
async def test_an_empty_last_answer_is_not_needed_where_each_request_has_one(
    server: GrpcServer, wanted: bool
) -> None:
    asked = request(id="7")
    asked.parameters["triton_enable_empty_final_response"].bool_param = wanted
    alone = await server.calls.ask("ModelInfer", asked)
    assert dict(alone.parameters) == {}
    stream = server.calls.stream()
    await stream.write(asked)
    await stream.done_writing()
    [answer] = await read_all(stream)
    assert answer.infer_response.outputs
    assert answer.infer_response.parameters[FINAL].bool_param


@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        (request("failing"), grpc.StatusCode.INTERNAL, "the run failed"),
        (request("nobody"), grpc.StatusCode.NOT_FOUND, "nobody"),
        (request(version="9"), grpc.StatusCode.NOT_FOUND, "9"),
        (wrong_shape(), grpc.StatusCode.INVALID_ARGUMENT, "[1,5]"),
        (b"\xff", grpc.StatusCode.INVALID_ARGUMENT, "ModelInferRequest"),
    ],
)
async def test_a_caller_that_wants_a_status_gets_it_after_the_answers_before(
    server: GrpcServer, bad: Any, code: grpc.StatusCode, words: str
) -> None:
    stream = server.calls.stream(metadata=AS_STATUS)
    # Nothing after the bad one: grpc.aio reports a write to a stream that has ended instead of its status.
    for message in (request(id="1"), request(id="2"), bad):
        await stream.write(message)
    answers = await read_all(stream)
    assert [answer.infer_response.id for answer in answers] == ["1", "2"]
    assert all(answer.infer_response.parameters[FINAL].bool_param for answer in answers)
    assert await stream.code() is code
    assert words in await stream.details()


async def test_what_came_after_the_error_is_given_up(server: GrpcServer, holding: HoldingRunner) -> None:
    stream = server.calls.stream(metadata=AS_STATUS)
    await stream.write(request("held", "1"))
    await holding.begun.wait()
    await stream.write(request("nobody", "2"))
    await stream.write(request("held", "3"))
    await until(lambda: server.stand.inference.in_flight == 2)
    holding.release()  # the first, whose answer both others wait for
    assert [answer.infer_response.id for answer in await read_all(stream)] == ["1"]
    assert await stream.code() is grpc.StatusCode.NOT_FOUND
    await until(lambda: server.stand.inference.in_flight == 0)
    holding.release()


async def test_a_status_says_when_to_come_again(server: GrpcServer, holding: HoldingRunner) -> None:
    others = [server.calls.start("ModelInfer", request("held"))]
    await holding.begun.wait()
    others.append(server.calls.start("ModelInfer", request("held")))
    await until(lambda: server.stand.inference.in_flight == 2)
    stream = server.calls.stream(metadata=AS_STATUS)
    await stream.write(request("held"))
    await read_all(stream)
    assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert "grpc-status-details-bin" in {key for key, _ in await stream.trailing_metadata()}
    for other in others:
        other.cancel()
    holding.release()


async def items(*, bad: Any = None) -> AsyncIterator[Any]:
    yield {"x": ONES}
    yield {"x": ONES if bad is None else bad}


@pytest.mark.parametrize(
    ("model", "error"), [("nobody", NotFound), ("failing", ServerFault)], ids=["not found", "failed"]
)
async def test_the_sdk_raises_the_error_that_it_would_for_a_single_request(
    server: GrpcServer, model: str, error: type[ServerError]
) -> None:
    url = f"grpc://{server.address}"

    def blocking() -> None:
        with Client(url) as client, pytest.raises(error):
            list(client.stream(model, [{"x": ONES}]))

    await asyncio.to_thread(blocking)
    async with AsyncClient(url) as client:
        with pytest.raises(error):
            [_ async for _ in client.stream(model, items())]
        with pytest.raises(InvalidRequest):
            [_ async for _ in client.stream("identity", items(bad=np.ones((1, 5), np.float32)))]


@pytest.mark.parametrize("headers", [None, {"triton_grpc_error": "true"}], ids=["in band", "as status"])
async def test_tritonclient_reads_both(server: GrpcServer, headers: dict[str, str] | None) -> None:
    tensor = tritonclient.grpc.aio.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(ONES)

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for model in ("identity", "failing"):
            yield {"model_name": model, "inputs": [tensor], "enable_empty_final_response": True}

    seen: list[str] = []
    async with tritonclient.grpc.aio.InferenceServerClient(server.address) as client:
        try:
            async for result, error in client.stream_infer(requests(), headers=headers):
                seen.append("answer" if error is None else f"message {error.message()}")
                assert error is not None or result is not None
        except grpc.aio.AioRpcError as error:
            seen.append(f"{error.code()} {error.details()}")
    last = "message the run failed" if headers is None else "StatusCode.INTERNAL the run failed"
    assert seen == ["answer", last]
