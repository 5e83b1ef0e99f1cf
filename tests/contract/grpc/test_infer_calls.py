"""ModelInfer and ModelStreamInfer on a whole server: ids, outputs, classes, compression, streams."""

import asyncio
from collections.abc import AsyncIterator
from queue import SimpleQueue
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio

from onnxd.protocol.binary import decode_tensor
from onnxd.tensors import Array, Datatype
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcCalls, infer_request, raw_outputs
from tests.support.grpc_transports import TRANSPORTS
from tests.support.server import RunningServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("whole", TRANSPORTS, indirect=True),
]

ROWS = np.array([[0.5, 2.0, -1.0, 2.0], [1.0, 0.0, 9.0, np.nan]], np.float32)


def triton_input(array: Array = ONES) -> Any:
    tensor = tritonclient.grpc.InferInput("x", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return tensor


@pytest.mark.parametrize("id", ["", "7", "ünïcode", "x" * 256], ids=["none", "short", "not ASCII", "longest"])
async def test_the_id_is_echoed(calls: GrpcCalls, id: str) -> None:
    answer = await calls.ask("ModelInfer", infer_request("identity", {"x": ONES}, id=id))
    assert (answer.id, answer.model_name, answer.model_version) == (id, "identity", "1")
    assert "triton_final_response" not in answer.parameters


@pytest.mark.parametrize(
    ("asked", "answered"), [("", "3"), ("1", "1"), ("3", "3")], ids=["highest", "1", "3"]
)
async def test_the_version_that_is_asked_answers(calls: GrpcCalls, asked: str, answered: str) -> None:
    answer = await calls.ask("ModelInfer", infer_request("versions", {"x": ONES}, version=asked))
    assert answer.model_version == answered
    assert raw_outputs(answer)["version"] == np.array([answered], np.int64).tobytes()


async def test_outputs_come_as_they_are_asked_for(calls: GrpcCalls) -> None:
    request = infer_request("pair", {"a": ROWS, "b": ROWS}, outputs=("difference", "sum"))
    answer = await calls.ask("ModelInfer", request)
    assert list(raw_outputs(answer)) == ["difference", "sum"]
    request = infer_request("pair", {"b": ROWS, "a": ROWS}, outputs=("sum",))
    assert raw_outputs(await calls.ask("ModelInfer", request)) == {"sum": (ROWS + ROWS).tobytes()}


async def test_an_optional_input_may_be_left_out(calls: GrpcCalls) -> None:
    assert await calls.infer("optional", {"x": ONES}) == {"y": (ONES + 10).tobytes()}
    bias = np.array([5], np.float32)
    assert await calls.infer("optional", {"x": ONES, "bias": bias}) == {"y": (ONES + 5).tobytes()}


async def test_the_best_classes_come_with_their_labels(calls: GrpcCalls) -> None:
    request = infer_request("labelled", {"x": ROWS}, outputs=("y",))
    request.outputs[0].parameters["classification"].int64_param = 2
    answer = await calls.ask("ModelInfer", request)
    [output] = answer.outputs
    assert (output.datatype, list(output.shape)) == ("BYTES", [2, 2])
    classes = decode_tensor("y", Datatype.BYTES, (2, 2), answer.raw_output_contents[0])
    assert classes.tolist() == [
        ["2.000000:1:one", "2.000000:3:three"],
        ["9.000000:2:two", "1.000000:0:zero"],
    ]


async def test_tritonclient_reads_classes(whole: RunningServer) -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(whole.grpc) as client:
        wanted = tritonclient.grpc.InferRequestedOutput("y", class_count=1)
        result = await client.infer("labelled", [triton_input(ROWS)], outputs=[wanted])
        assert result.as_numpy("y").tolist() == [[b"2.000000:1:one"], [b"9.000000:2:two"]]


async def test_what_clients_send_along_is_accepted(calls: GrpcCalls) -> None:
    request = infer_request("identity", {"x": ONES})
    request.parameters["triton_enable_empty_final_response"].bool_param = False  # the C++ client, always
    request.parameters["sequence_id"].int64_param = 0
    request.parameters["priority"].uint64_param = 1
    request.parameters["timeout"].int64_param = 10_000_000
    request.parameters["custom"].string_param = "anything"
    request.parameters["ratio"].double_param = 0.5
    assert raw_outputs(await calls.ask("ModelInfer", request)) == {"y": ONES.tobytes()}


@pytest.mark.parametrize(
    "compression", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"]
)
async def test_compressed_requests_are_read(calls: GrpcCalls, compression: grpc.Compression) -> None:
    rows = np.zeros((8, 4), np.float32)
    assert await calls.infer("identity", {"x": rows}, compression=compression) == {"y": rows.tobytes()}
    stream = calls.stream(compression=compression)
    await stream.write(infer_request("identity", {"x": rows}))
    await stream.done_writing()
    answer = await stream.read()
    assert raw_outputs(answer.infer_response) == {"y": rows.tobytes()}


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_tritonclient_may_compress(whole: RunningServer, algorithm: str) -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(whole.grpc) as client:
        result = await client.infer("identity", [triton_input()], compression_algorithm=algorithm)
        assert result.as_numpy("y").tobytes() == ONES.tobytes()


async def test_values_that_the_graph_cannot_take_are_the_callers_fault(calls: GrpcCalls) -> None:
    refused = await calls.refusal("ModelInfer", infer_request("gather", {"x": np.array([99], np.int64)}))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "idx=99" in refused.details
    good = await calls.infer("gather", {"x": np.array([2], np.int64)})
    assert good == {"y": np.array([2], np.float32).tobytes()}


async def test_a_large_answer_comes_whole(calls: GrpcCalls) -> None:
    cube = np.arange(2**22, dtype=np.float32).reshape(4, 1024, 1024)  # 16 MiB, over every default of grpc
    one = np.zeros(1, np.float32)
    answer = await calls.infer("all_fp32", {"scalar": one.reshape(()), "vector": one, "cube": cube})
    assert answer["cube_out"] == cube.tobytes()


async def test_a_stream_answers_for_several_models_in_order(calls: GrpcCalls) -> None:
    requests = [
        infer_request("identity", {"x": ROWS}, id="first"),
        infer_request("nobody", {"x": ROWS}, id="second"),
        infer_request("gather", {"x": np.array([99], np.int64)}, id="third"),
        infer_request("pair", {"a": ROWS, "b": ROWS}, id="fourth"),
    ]
    stream = calls.stream()
    for request in requests:
        await stream.write(request)
    await stream.done_writing()
    answers = [answer async for answer in _read(stream)]
    assert [answer.infer_response.id for answer in answers] == ["first", "second", "third", "fourth"]
    assert [bool(answer.error_message) for answer in answers] == [False, True, True, False]
    for answer in (answers[0], answers[3]):
        assert answer.infer_response.parameters["triton_final_response"].bool_param
    assert raw_outputs(answers[0].infer_response) == {"y": ROWS.tobytes()}


async def _read(stream: Any) -> AsyncIterator[pb.ModelStreamInferResponse]:
    while (answer := await stream.read()) is not grpc.aio.EOF:
        yield answer


async def test_tritonclient_streams(whole: RunningServer) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(20):
            model = "identity" if number != 7 else "nobody"
            yield {"model_name": model, "inputs": [triton_input(ONES * number)], "request_id": str(number)}

    async with tritonclient.grpc.aio.InferenceServerClient(whole.grpc) as client:
        seen = []
        async for result, error in client.stream_infer(requests()):
            if error is not None:
                assert "nobody" in error.message()
                seen.append("7")
                continue
            response = result.get_response()
            assert result.as_numpy("y").tobytes() == (ONES * int(response.id)).tobytes()
            assert response.parameters["triton_final_response"].bool_param
            seen.append(response.id)
    assert seen == [str(number) for number in range(20)]


async def test_the_blocking_tritonclient_streams(whole: RunningServer) -> None:
    def talk() -> list[str]:
        answers: SimpleQueue[Any] = SimpleQueue()
        with tritonclient.grpc.InferenceServerClient(whole.grpc) as client:
            client.start_stream(lambda result, error: answers.put(error or result))
            for number in range(5):
                client.async_stream_infer(
                    "identity",
                    [triton_input()],
                    request_id=str(number),
                    enable_empty_final_response=True,
                )
            ids = [answers.get(timeout=20).get_response().id for _ in range(5)]
            client.stop_stream()
        return ids

    assert await asyncio.to_thread(talk) == ["0", "1", "2", "3", "4"]
