"""neural.NeuralService: numbers in, numbers out, one row or a stream of them."""

from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from onnxd.tensors import Datatype
from onnxd_protos.neural_pb2 import InferenceRequest
from onnxd_protos.services import NEURAL_SERVICE
from tests.support.grpc_server import GrpcCalls, GrpcServer, grpc_server
from tests.support.serving import identity_spec, served_version, serving, tensor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_row_is_answered(calls: GrpcCalls) -> None:
    answer = await calls.ask("Infer", InferenceRequest(inputs=[1, 2, 3, 6]), service=NEURAL_SERVICE)
    assert list(answer.outputs) == [3.0]


async def test_a_stream_of_rows_is_answered_in_order(calls: GrpcCalls) -> None:
    stream = calls.stream("InferStream", service=NEURAL_SERVICE)
    for number in range(50):
        await stream.write(InferenceRequest(inputs=[number] * 4))
    await stream.done_writing()
    answers = []
    while (answer := await stream.read()) is not grpc.aio.EOF:
        answers.extend(answer.outputs)
    assert answers == list(range(50))


@pytest.mark.parametrize(
    ("inputs", "phrase"),
    [
        pytest.param([], "expected a list of numbers", id="nothing"),
        pytest.param([1.0] * 3, "got a row of 3 numbers", id="a number too few"),
        pytest.param([1.0] * 5, "got a row of 5 numbers", id="a number too many"),
    ],
)
async def test_a_row_that_does_not_fit_is_refused(calls: GrpcCalls, inputs: list[float], phrase: str) -> None:
    refused = await calls.refusal("Infer", InferenceRequest(inputs=inputs), service=NEURAL_SERVICE)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert phrase in refused.details


async def test_special_numbers_pass(calls: GrpcCalls) -> None:
    answer = await calls.ask("Infer", InferenceRequest(inputs=[np.inf, 1, 1, 1]), service=NEURAL_SERVICE)
    assert list(answer.outputs) == [np.inf]


@pytest.mark.asyncio(loop_scope="function")
async def test_a_model_that_is_not_there_is_named(server: GrpcServer) -> None:
    async with grpc_server(server.stand, simple_model="digits") as other:
        refused = await other.calls.refusal("Infer", InferenceRequest(inputs=[1]), service=NEURAL_SERVICE)
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert "'digits'" in refused.details


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(
    ("datatype", "numbers", "answer"),
    [
        pytest.param(Datatype.UINT8, [1, 300], "expected whole numbers, 0 to 255", id="300 for UINT8"),
        pytest.param(Datatype.INT32, [1, 1.5], "expected whole numbers", id="1.5 for INT32"),
        pytest.param(Datatype.INT64, [1, float("nan")], "expected whole numbers", id="NaN for INT64"),
        pytest.param(Datatype.BOOL, [0, 2], "expected whole numbers, 0 to 1", id="2 for BOOL"),
        pytest.param(Datatype.INT8, [1, -128], [1, -128], id="INT8"),
        pytest.param(Datatype.FP16, [1, 0.5], [1, 0.5], id="FP16"),
        pytest.param(Datatype.BF16, [1, 0.5], [1, 0.5], id="BF16"),
    ],
)
async def test_numbers_become_what_the_model_takes(
    quiet: None, datatype: Datatype, numbers: list[float], answer: Any
) -> None:
    spec = identity_spec(inputs=(tensor("x", 2, datatype=datatype),))
    async with grpc_server(serving(served_version(spec))) as server:
        asked = InferenceRequest(inputs=numbers)
        if isinstance(answer, str):
            refused = await server.calls.refusal("Infer", asked, service=NEURAL_SERVICE)
            assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
            assert answer in refused.details
        else:
            response = await server.calls.ask("Infer", asked, service=NEURAL_SERVICE)
            assert list(response.outputs) == answer
