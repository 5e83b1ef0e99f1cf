"""Every datatype in every shape, raw and typed, comes back as it went, byte for byte."""

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio

from onnxd.protocol.binary import encode_tensor
from onnxd.tensors import Array, Datatype
from tests.contract.grpc.models import RANKS
from tests.support.grpc_server import GrpcCalls, infer_request, raw_outputs
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHAPES: Final = {
    "scalar": ("scalar", ()),
    "empty": ("vector", (0,)),
    "1-D": ("vector", (13,)),
    "3-D": ("cube", (2, 3, 4)),
    "3-D and empty": ("cube", (2, 0, 4)),
}
FIELDS: Final = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
TEXTS: Final = ["", "a", "embedded \0 nul \0", "Grüße", "漢字", "🎉", "x" * 300, "\n", " ", '"']


def values(datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """As many as the shape needs of the values that are most easily lost."""
    count = math.prod(shape)
    if datatype is Datatype.BYTES:
        flat: Array = np.empty(count, object)
        flat[:] = [TEXTS[at % len(TEXTS)] for at in range(count)]
        return flat.reshape(shape)
    if datatype is Datatype.BOOL:
        return np.resize(np.array([True, False]), shape)
    odd: list[Any]
    if datatype.is_float:
        smallest = np.array([1], f"u{datatype.dtype.itemsize}").view(datatype.dtype)[0]
        odd = [np.nan, np.inf, -np.inf, -0.0, smallest, 1 / 3, 0.0, -2.5]
    else:
        bounds = np.iinfo(datatype.dtype)
        odd = [bounds.min, bounds.max, 0, 1, bounds.max - 1]
    return np.array([odd[at % len(odd)] for at in range(count)], datatype.dtype).reshape(shape)


def inputs(datatype: Datatype, shape: tuple[int, ...], rank: str) -> dict[str, Array]:
    """All three inputs, of which the one of this rank is what the case is about."""
    small = {"scalar": (), "vector": (1,), "cube": (1, 1, 1)}
    return {name: values(datatype, shape if name == rank else small[name]) for name in RANKS}


def cases(datatypes: Iterable[Datatype]) -> list[Any]:
    return [
        pytest.param(datatype, rank, shape, id=f"{datatype.value}-{name}")
        for datatype in datatypes
        for name, (rank, shape) in SHAPES.items()
    ]


def model(datatype: Datatype) -> str:
    return f"all_{datatype.value.lower()}"


@pytest.mark.parametrize(("datatype", "rank", "shape"), cases(Datatype))
async def test_raw_bytes_come_back(
    calls: GrpcCalls, datatype: Datatype, rank: str, shape: tuple[int, ...]
) -> None:
    sent = inputs(datatype, shape, rank)
    answer = await calls.ask("ModelInfer", infer_request(model(datatype), sent))
    assert raw_outputs(answer) == {f"{name}_out": bytes(encode_tensor(sent[name])) for name in RANKS}
    for output in answer.outputs:
        assert output.datatype == datatype.value
        assert tuple(output.shape) == sent[output.name.removesuffix("_out")].shape
        assert not output.HasField("contents")


@pytest.mark.parametrize(("datatype", "rank", "shape"), cases(FIELDS))
async def test_typed_contents_come_back_as_raw_bytes(
    calls: GrpcCalls, datatype: Datatype, rank: str, shape: tuple[int, ...]
) -> None:
    sent = inputs(datatype, shape, rank)
    request = infer_request(model(datatype), sent)
    del request.raw_input_contents[:]
    for tensor in request.inputs:
        elements = sent[tensor.name].reshape(-1).tolist()
        if datatype is Datatype.BYTES:
            elements = [element.encode() for element in elements]
        tensor.contents.SetInParent()
        getattr(tensor.contents, FIELDS[datatype]).extend(elements)
    answer = await calls.ask("ModelInfer", request)
    assert raw_outputs(answer) == {f"{name}_out": bytes(encode_tensor(sent[name])) for name in RANKS}


@pytest.mark.parametrize(("datatype", "rank", "shape"), cases(Datatype))
async def test_tritonclient_reads_what_it_wrote(
    whole: RunningServer, datatype: Datatype, rank: str, shape: tuple[int, ...]
) -> None:
    sent = inputs(datatype, shape, rank)
    async with tritonclient.grpc.aio.InferenceServerClient(whole.grpc) as client:
        result = await client.infer(model(datatype), [triton_input(*item, datatype) for item in sent.items()])
    for name, array in sent.items():
        received = result.as_numpy(f"{name}_out")
        assert received.shape == array.shape
        if datatype is Datatype.BYTES:
            assert [element.decode() for element in received.reshape(-1)] == array.reshape(-1).tolist()
        else:
            assert received.tobytes() == array.tobytes()


def triton_input(name: str, array: Array, datatype: Datatype) -> Any:
    tensor = tritonclient.grpc.InferInput(name, list(array.shape), datatype.value)
    if datatype is Datatype.BYTES:
        array = np.array([text.encode() for text in array.reshape(-1)], object).reshape(array.shape)
    tensor.set_data_from_numpy(array)
    return tensor


async def test_a_nan_keeps_its_bits(calls: GrpcCalls) -> None:
    odd = np.array([0x7FC00001, 0xFFC00000, 0x7F800001], np.uint32).view(np.float32)
    sent = inputs(Datatype.FP32, (3,), "vector") | {"vector": odd}
    answer = await calls.infer("all_fp32", sent)
    assert answer["vector_out"] == odd.tobytes()
