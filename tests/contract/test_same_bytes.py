"""The same request over every wire is answered with the same bytes (faults.md, row S19)."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pytest

from onnxd.protocol.binary import encode_tensor, string_array
from onnxd.tensors import Array, Datatype, datatype_of
from onnxd_protos import grpc_service_pb2 as pb
from tests.contract.http_cases import LENGTH
from tests.contract.stand import DIMS, TYPED
from tests.contract.test_client_inference import SHAPES, sample
from tests.support.grpc_server import grpc_calls, infer_request
from tests.support.raw_http import connect, request_bytes
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = tuple(f"{kind}_{form}" for kind in ("typed", "every", "bf16") for form in DIMS)
FIELDS: Final = {
    "b1": "bool_contents", "i1": "int_contents", "i2": "int_contents", "i4": "int_contents",
    "i8": "int64_contents", "u1": "uint_contents", "u2": "uint_contents", "u4": "uint_contents",
    "u8": "uint64_contents", "f4": "fp32_contents", "f8": "fp64_contents", "O": "bytes_contents",
}  # fmt: skip

Inputs = Mapping[str, Array]
Outputs = dict[str, tuple[str, list[int], bytes]]
"""Datatype, shape and bytes of each output."""
Ask = Callable[[RunningServer, str, Inputs], Awaitable[Outputs]]


async def in_bytes(server: RunningServer, model: str, inputs: Inputs) -> Outputs:
    return await _http(server, model, inputs, as_json=())


async def in_json(server: RunningServer, model: str, inputs: Inputs) -> Outputs:
    """All that has a form in JSON; the rest as bytes in the same request."""
    return await _http(server, model, inputs, as_json=TYPED)


async def _http(server: RunningServer, model: str, inputs: Inputs, as_json: Sequence[Datatype]) -> Outputs:
    entries: list[dict[str, Any]] = []
    tail = b""
    for name, array in inputs.items():
        datatype = datatype_of(array)
        entry: dict[str, Any] = {"name": name, "datatype": datatype.value, "shape": array.shape}
        if datatype in as_json:
            entry["data"] = array.reshape(-1).tolist()
        else:
            content = bytes(encode_tensor(array))
            entry["parameters"] = {"binary_data_size": len(content)}
            tail += content
        entries.append(entry)
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": True}}).encode()
    async with connect(server.server.http.port) as connection:
        headers = {LENGTH: str(len(head))}
        await connection.send(request_bytes("POST", f"/v2/models/{model}/infer", head + tail, headers))
        answer = await connection.answer()
    assert answer.status == 200, answer.body
    at = int(answer.headers.get(LENGTH.lower(), len(answer.body)))
    outputs: Outputs = {}
    for output in json.loads(answer.body[:at])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        outputs[output["name"]] = (output["datatype"], output["shape"], answer.body[at : at + size])
        at += size
    return outputs


async def in_raw_contents(server: RunningServer, model: str, inputs: Inputs) -> Outputs:
    return await _grpc(server, infer_request(model, inputs))


async def in_typed_contents(server: RunningServer, model: str, inputs: Inputs) -> Outputs:
    """As typed contents, which cannot stand beside raw ones."""
    request = pb.ModelInferRequest(model_name=model)
    for name, array in inputs.items():
        added = request.inputs.add(name=name, datatype=datatype_of(array).value, shape=array.shape)
        added.contents.SetInParent()
        elements = array.reshape(-1).tolist()
        if array.dtype == np.object_:
            elements = [element.encode() for element in elements]
        getattr(added.contents, FIELDS[array.dtype.str.lstrip("<|=")]).extend(elements)
    return await _grpc(server, request)


async def _grpc(server: RunningServer, request: pb.ModelInferRequest) -> Outputs:
    async with grpc_calls(server.grpc) as calls:
        return _read(await calls.ask("ModelInfer", request))


async def in_stream(server: RunningServer, model: str, inputs: Inputs) -> Outputs:
    async with grpc_calls(server.grpc) as calls:
        stream = calls.stream()
        await stream.write(infer_request(model, inputs))
        await stream.done_writing()
        [answer] = [message async for message in stream]
    return _read(answer.infer_response)


def _read(answer: pb.ModelInferResponse) -> Outputs:
    return {
        output.name: (output.datatype, list(output.shape), raw)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


RAW: Final = (in_bytes, in_json, in_raw_contents, in_stream)


def value(datatype: Datatype, shape: tuple[int, ...]) -> Array:
    array = sample(datatype, shape)
    if datatype is not Datatype.BYTES:
        return array
    return string_array([element.decode() for element in array.reshape(-1)]).reshape(shape)


def expected(inputs: Inputs) -> Outputs:
    """Of a model that answers each `in_...` with `out_...`, or `x` with `y`."""
    return {
        name.replace("in_", "out_").replace("x", "y"): (
            datatype_of(array).value, list(array.shape), bytes(encode_tensor(array))
        )
        for name, array in inputs.items()
    }  # fmt: skip


async def assert_same(
    server: RunningServer,
    model: str,
    datatypes: Sequence[Datatype],
    shape: tuple[int, ...],
    wires: Sequence[Ask],
) -> None:
    names = [f"in_{datatype.value.lower()}" for datatype in datatypes] if len(datatypes) > 1 else ["x"]
    inputs = {name: value(kind, shape) for name, kind in zip(names, datatypes, strict=True)}
    for ask in wires:
        assert await ask(server, model, inputs) == expected(inputs), ask


each_shape = pytest.mark.parametrize(("form", "shape"), SHAPES.values(), ids=SHAPES.keys())


@each_shape
async def test_S19_what_has_a_typed_form(server: RunningServer, form: str, shape: tuple[int, ...]) -> None:
    await assert_same(server, f"typed_{form}", TYPED, shape, (*RAW, in_typed_contents))


@each_shape
async def test_S19_with_half_floats(server: RunningServer, form: str, shape: tuple[int, ...]) -> None:
    await assert_same(server, f"every_{form}", (*TYPED, Datatype.FP16), shape, RAW)
    await assert_same(server, f"bf16_{form}", (Datatype.BF16,), shape, RAW)


async def test_S19_a_scalar_that_comes_as_a_vector_of_one(server: RunningServer) -> None:
    scalars = {f"in_{datatype.value.lower()}": value(datatype, ()) for datatype in TYPED}
    vectors = {name: array.reshape(1) for name, array in scalars.items()}
    for ask in (*RAW, in_typed_contents):
        assert await ask(server, "typed_scalar", vectors) == expected(scalars), ask
