"""Streams: order, bounds, and every way in which they end."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.neural_pb2 import InferenceRequest
from onnxd_protos.services import NEURAL_SERVICE
from tests.support.grpc_server import ONES, GrpcServer, grpc_calls, grpc_server, infer_request
from tests.support.serving import HoldingRunner, Serving
from tests.support.until import until


def request(number: int, model: str = "identity") -> pb.ModelInferRequest:
    return infer_request(model, {"x": np.full((1, 4), number, np.float32)}, id=str(number))


async def read_all(stream: Any) -> list[pb.ModelStreamInferResponse]:
    answers = []
    while (answer := await stream.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


def ids(answers: list[pb.ModelStreamInferResponse]) -> list[str]:
    return [answer.infer_response.id for answer in answers]


async def ending(stream: Any) -> tuple[grpc.StatusCode, str]:
    return await stream.code(), await stream.details()


async def test_answers_come_in_the_order_of_the_requests(server: GrpcServer) -> None:
    stream = server.calls.stream()
    for number in range(100):
        await stream.write(request(number))
    await stream.done_writing()
    answers = await read_all(stream)
    assert ids(answers) == [str(number) for number in range(100)]
    assert await ending(stream) == (grpc.StatusCode.OK, "")


async def test_a_request_that_waits_holds_up_those_behind_it(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    stream = server.calls.stream()
    await stream.write(request(1, "held"))
    await stream.write(request(2))
    await holding.begun.wait()
    holding.release()
    assert (await stream.read()).infer_response.id == "1"
    assert (await stream.read()).infer_response.id == "2"
    await stream.done_writing()
    assert await read_all(stream) == []


async def test_requests_of_one_stream_share_a_batch(server: GrpcServer, holding: HoldingRunner) -> None:
    stream = server.calls.stream()
    await stream.write(request(0, "held"))
    await holding.begun.wait()
    for number in (1, 2):
        await stream.write(request(number, "held"))
    await until(lambda: server.stand.inference.in_flight == 3)
    holding.begun.clear()
    holding.release()
    await holding.begun.wait()
    holding.release()
    await stream.done_writing()
    assert ids(await read_all(stream)) == ["0", "1", "2"]
    [served] = server.stand.inference.serving("held", 1)
    assert served.statistics.snapshot().execution_count == 2


async def test_an_error_of_one_request_does_not_touch_the_others(server: GrpcServer) -> None:
    stream = server.calls.stream()
    await stream.write(request(1))
    await stream.write(b"\xff")
    await stream.write(request(2, "nobody"))
    await stream.write(infer_request("identity", {"x": np.ones((1, 5), np.float32)}, id="3"))
    await stream.write(request(4))
    await stream.done_writing()
    answers = await read_all(stream)
    assert ids(answers) == ["1", "", "2", "3", "4"]
    assert [bool(answer.error_message) for answer in answers] == [False, True, True, True, False]
    assert "ModelInferRequest" in answers[1].error_message
    assert "nobody" in answers[2].error_message
    assert "[1,5]" in answers[3].error_message
    for answer in answers[1:4]:
        assert not answer.infer_response.outputs
    for answer in (answers[0], answers[4]):
        assert answer.infer_response.parameters["triton_final_response"].bool_param


async def test_a_stream_without_a_request_ends_well(server: GrpcServer) -> None:
    stream = server.calls.stream()
    await stream.done_writing()
    assert await read_all(stream) == []
    assert await ending(stream) == (grpc.StatusCode.OK, "")


async def test_no_more_is_read_than_may_be_in_work(
    stand: Serving, holding: HoldingRunner, quiet: None
) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, max_stream_in_flight=3)) as server:
        stream = server.calls.stream()
        for number in range(8):
            await stream.write(request(number, "held"))
        await until(lambda: stand.inference.in_flight == 3)
        other = server.calls.stream()  # whose requests come later than what the server would have read
        await other.write(request(100))
        assert (await other.read()).infer_response.id == "100"
        assert stand.inference.in_flight == 3
        await other.done_writing()
        await stream.done_writing()
        answers = []
        reading = asyncio.create_task(read_all(stream))
        while not reading.done():
            holding.release()
            await asyncio.sleep(0)
        answers = ids(await reading)
        assert answers == [str(number) for number in range(8)]


async def test_a_cancelled_stream_gives_everything_back(server: GrpcServer, holding: HoldingRunner) -> None:
    stream = server.calls.stream()
    for number in range(5):
        await stream.write(request(number, "held"))
    await until(lambda: server.stand.inference.in_flight == 5)
    stream.cancel()
    await until(lambda: server.stand.inference.in_flight == 0)
    assert server.leases() == 0
    holding.release()


async def test_a_stream_cancelled_among_unread_answers_gives_everything_back(server: GrpcServer) -> None:
    stream = server.calls.stream()
    for number in range(50):
        await stream.write(infer_request("identity", {"x": np.ones((8, 4), np.float32)}, id=str(number)))
    assert (await stream.read()).infer_response.id == "0"
    stream.cancel()
    await until(lambda: server.stand.inference.in_flight == 0)


async def test_a_client_that_vanishes_gives_everything_back(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    async with grpc_calls(server.address) as calls:
        stream = calls.stream()
        await stream.write(request(0, "held"))
        await holding.begun.wait()
    await until(lambda: server.stand.inference.in_flight == 0)
    holding.release()


async def test_a_half_closed_stream_still_gets_its_answers(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    stream = server.calls.stream()
    await stream.write(request(1, "held"))
    await stream.done_writing()
    await holding.begun.wait()
    holding.release()
    assert ids(await read_all(stream)) == ["1"]
    assert await ending(stream) == (grpc.StatusCode.OK, "")


async def test_a_draining_server_answers_what_it_has_read_and_ends_the_stream(
    stand: Serving, holding: HoldingRunner, quiet: None
) -> None:
    async with grpc_server(stand) as server:
        stream = server.calls.stream()
        await stream.write(request(1, "held"))
        await holding.begun.wait()
        stopping = asyncio.create_task(server.frontend.stop(30.0))
        await asyncio.sleep(0)
        holding.release()
        assert (await stream.read()).infer_response.id == "1"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert raised.value.details() == "the server is shutting down"
        async with asyncio.timeout(5):  # and not the 30 s of the grace
            await stopping


@pytest.mark.parametrize("service", [NEURAL_SERVICE, None], ids=["neural", "inference"])
async def test_an_idle_stream_does_not_hold_up_the_drain(
    stand: Serving, quiet: None, service: str | None
) -> None:
    async with grpc_server(stand) as server:
        if service is None:
            stream = server.calls.stream()
            await stream.write(request(1))
        else:
            stream = server.calls.stream("InferStream", service=service)
            await stream.write(InferenceRequest(inputs=ONES[0]))
        await stream.read()
        async with asyncio.timeout(5):
            await server.frontend.stop(30.0)
        with pytest.raises(grpc.aio.AioRpcError, match="shutting down"):
            await stream.read()


async def test_a_simple_stream_answers_row_after_row(server: GrpcServer) -> None:
    stream = server.calls.stream("InferStream", service=NEURAL_SERVICE)
    for number in range(10):
        await stream.write(InferenceRequest(inputs=[number] * 4))
    await stream.done_writing()
    assert [list(answer.outputs) async for answer in stream] == [[number] * 4 for number in range(10)]


async def test_an_error_ends_a_simple_stream_after_the_answers_before_it(
    server: GrpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    stream = server.calls.stream("InferStream", service=NEURAL_SERVICE)
    await stream.write(InferenceRequest(inputs=[1] * 4))
    await stream.write(InferenceRequest(inputs=[2] * 5))
    assert list((await stream.read()).outputs) == [1, 1, 1, 1]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "5 numbers" in (raised.value.details() or "")
    assert [record for record in caplog.records if record.name.startswith("grpc")] == []
