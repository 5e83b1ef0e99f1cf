"""Requests as a client would write them, for the tests of the codecs."""

from typing import Any

import orjson

from onnxd.messages import InferRequest
from onnxd.protocol.json_request import decode_infer_request
from onnxd.protocol.limits import ProtocolLimits
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

LIMITS = ProtocolLimits()


def tensor(
    data: Any = None, *, name: str = "x", shape: Any = (2,), datatype: Any = "FP32", **parameters: Any
) -> dict[str, Any]:
    """One entry of `inputs`."""
    entry: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        entry["data"] = data
    if parameters:
        entry["parameters"] = parameters
    return entry


def document(*inputs: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A whole request; without inputs it has one valid FP32 input."""
    return {"inputs": list(inputs) or [tensor([1.0, 2.0])], **members}


def decode_text(text: bytes, tail: bytes | None = None, limits: ProtocolLimits = LIMITS) -> InferRequest:
    """Decode a body made of a JSON text and, when given, a binary tail."""
    return decode_infer_request(
        text + (tail or b""),
        None if tail is None else len(text),
        model_name="m",
        model_version=None,
        limits=limits,
    )


def decode(
    request: dict[str, Any], tail: bytes | None = None, limits: ProtocolLimits = LIMITS
) -> InferRequest:
    return decode_text(orjson.dumps(request), tail, limits)


def spec(
    *inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (), max_batch_size: int = 0, name: str = "m"
) -> ModelSpec:
    """A model that takes FP32 [4] as `x` and gives FP32 [10] as `y`, unless told otherwise."""
    return ModelSpec(
        name,
        1,
        inputs or (TensorSpec("x", Datatype.FP32, (4,)),),
        outputs or (TensorSpec("y", Datatype.FP32, (10,)),),
        max_batch_size,
    )
