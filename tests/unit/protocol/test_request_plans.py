"""Requests whose JSON has been read before, and answers whose JSON has been written before."""

import json
from typing import Any

import numpy as np
import pytest

from onnxd.errors import MalformedPayload
from onnxd.messages import InferRequest, InferResponse, Timeline
from onnxd.protocol.json_request import decode_infer_request
from onnxd.protocol.json_response import ResponseHeads, encode_infer_response
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.request_plans import RequestPlans
from onnxd.tensors import Array


def tensor(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {
        "name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}
    }  # fmt: skip


def text(*inputs: dict[str, Any], blanks: int = 0, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode() + b" " * blanks


TWO = text(
    tensor("a", "FP32", [1, 2], 8),
    tensor("b", "INT16", [3], 6),
    outputs=[{"name": "y", "parameters": {"binary_data": True}}],
    parameters={"priority": 2, "timeout": 1000, "mine": "x", "binary_data_output": True},
)


def decode(plans: RequestPlans, head: bytes, tail: bytes, *, view: bool = False) -> InferRequest:
    body: bytes | memoryview = memoryview(head + tail) if view else head + tail
    return plans.decode(body, len(head), "m", 3, Timeline())


def same(one: InferRequest, other: InferRequest) -> bool:
    def plain(request: InferRequest) -> Any:
        arrays = {name: (each.dtype, each.tolist()) for name, each in request.inputs.items()}
        return (arrays, *(getattr(request, name) for name in FIELDS))

    return bool(plain(one) == plain(other))


FIELDS = (
    "model_name", "model_version", "id", "outputs", "binary_by_default", "parameters", "priority",
    "queue_timeout_s", "byte_size", "deadline_s", "shared_inputs",
)  # fmt: skip


@pytest.mark.parametrize("view", [False, True], ids=["bytes", "view"])
@pytest.mark.parametrize("blanks", range(8))
def test_a_request_that_comes_again_is_decoded_as_the_first_was(*, view: bool, blanks: int) -> None:
    plans, head = RequestPlans(ProtocolLimits()), TWO + b" " * blanks
    for number in range(3):
        tail = bytes(range(number, number + 14))
        once = decode_infer_request(
            head + tail, len(head), model_name="m", model_version=3, limits=ProtocolLimits()
        )
        again = decode(plans, head, tail, view=view)
        assert same(once, again)
        assert all(array.flags.aligned for array in again.inputs.values())
    assert len(plans) == 1


def test_other_bytes_behind_a_known_json_are_other_tensors_and_other_lengths_are_refused() -> None:
    plans = RequestPlans(ProtocolLimits())
    decode(plans, TWO, bytes(14))
    for tail in (b"", bytes(13), bytes(15)):
        with pytest.raises(MalformedPayload, match="bytes"):
            decode(plans, TWO, tail)


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        pytest.param(text(tensor("a", "INT8", [2], 2), id="7"), b"12", id="an-id"),
        pytest.param(text(tensor("a", "BYTES", [1], 6)), b"\x02\x00\x00\x00hi", id="BYTES"),
        pytest.param(text(tensor("a", "BOOL", [2], 2)), b"\x00\x01", id="BOOL"),
        pytest.param(
            text({"name": "a", "datatype": "INT8", "shape": [2], "data": [1, 2]}), b"", id="data-in-json"
        ),
        pytest.param(text(tensor("a", "INT8", [2], 2), blanks=5000), b"12", id="a-long-json"),
    ],
)
def test_what_may_differ_in_more_than_its_bytes_is_not_remembered(head: bytes, tail: bytes) -> None:
    plans = RequestPlans(ProtocolLimits())
    assert same(decode(plans, head, tail), decode(plans, head, tail))
    assert len(plans) == 0


def test_as_many_are_remembered_as_there_may_be() -> None:
    plans = RequestPlans(ProtocolLimits())
    for number in range(300):
        decode(plans, text(tensor(f"a{number}", "INT8", [1], 1)), b"1")
    assert len(plans) == 256


def answered(*arrays: Array, **changes: Any) -> InferResponse:
    outputs = {f"y{number}": array for number, array in enumerate(arrays)}
    return InferResponse(**{"model_name": "m", "model_version": 1, "id": "", "outputs": outputs, **changes})


ANSWERS = [
    answered(np.arange(4, dtype=np.float32)),
    answered(np.arange(4, dtype=np.float32) + 1),
    answered(np.arange(4, dtype=np.int32)),
    answered(np.arange(4, dtype=np.float32).reshape(2, 2)),
    answered(np.arange(4, dtype=np.float32), model_version=2),
    answered(np.arange(4, dtype=np.float32), model_name="n"),
    answered(np.arange(4, dtype=np.float32), id="7"),
    answered(np.array(["a", "bc"], np.object_)),
    answered(np.array(["abc", ""], np.object_)),
    answered(np.array(["a", "b"], np.object_)),
    answered(np.zeros((0, 4), np.float32)),
    answered(np.zeros((0, 4), np.float32), np.ones(2, np.int8)),
    answered(np.arange(4, dtype=np.float32), in_shared_memory=frozenset({"y0"})),
]


def test_an_answer_is_written_as_if_it_were_the_first() -> None:
    heads, request = ResponseHeads(), InferRequest("m", {}, binary_by_default=True)
    for response in ANSWERS * 2:
        once, again = encode_infer_response(request, response), heads.encode(request, response)
        assert [bytes(part) for part in again.parts] == [bytes(part) for part in once.parts]
        assert (again.json_length, again.content_type) == (once.json_length, once.content_type)


def test_as_many_answers_are_remembered_as_there_may_be() -> None:
    heads, request = ResponseHeads(), InferRequest("m", {}, binary_by_default=True)
    for number in range(1, 300):
        heads.encode(request, answered(np.zeros(number, np.int8)))
    assert len(heads) == 256
