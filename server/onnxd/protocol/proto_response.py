"""The answer to an inference request over gRPC: every output as raw bytes, at its own index.

The bytes are put together here, and what repeats itself is remembered. As a message of protobuf's each tensor
would be copied into it and out again, and its encoder, which grows its buffer as it goes, takes ten times as
long for a large one as a copy does.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np

from onnxd.errors import PayloadTooLarge
from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.binary import encode_tensor
from onnxd.protocol.proto_wire import field, optional, varint
from onnxd.tensors import datatype_of
from onnxd_protos import grpc_service_pb2 as pb

_FINAL: Final = "triton_final_response"
_RESPONSE: Final = pb.ModelInferResponse.DESCRIPTOR.fields_by_name
_OUTPUT: Final = pb.ModelInferResponse.InferOutputTensor.DESCRIPTOR.fields_by_name
_RAW: Final = bytes((_RESPONSE["raw_output_contents"].number << 3 | 2,))
_IN_STREAM: Final = bytes((pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER << 3 | 2,))
_IS_FINAL: Final = pb.ModelInferResponse(
    parameters={_FINAL: pb.InferParameter(bool_param=True)}
).SerializeToString()
_MAX_BYTES: Final = 2**31 - 1
"""Of a protobuf message, for every implementation of it."""
_JOINED_BYTES: Final = 16384
"""Up to this size one piece costs less than several."""


def encode_infer_response(
    response: InferResponse, *, in_stream: bool = False
) -> bytes | list[bytes | memoryview]:
    """A ModelInferResponse, or the ModelStreamInferResponse with it, marked as the last for its request: in
    pieces where it is large, so that its tensors are not copied.

    `raw_output_contents[i]` belongs to `outputs[i]`, even when empty: clients index it blindly. Raises
    PayloadTooLarge.
    """
    head = _model(response.model_name, response.model_version) + optional(_RESPONSE["id"].number, response.id)
    if in_stream:
        head += _IS_FINAL
    tail: list[bytes | memoryview] = []
    for name, array in response.outputs.items():
        head += _output(name, array.dtype, array.shape)
        data = b"" if name in response.in_shared_memory else encode_tensor(array)
        tail += (_RAW + varint(len(data)), data)
    size = len(head) + sum(map(len, tail))
    if size > _MAX_BYTES:
        raise PayloadTooLarge(
            f"the answer has {size} bytes, and a message can have {_MAX_BYTES}: ask for less at once"
        )
    if in_stream:
        head = _IN_STREAM + varint(size) + head
    if size <= _JOINED_BYTES:
        return head + b"".join(tail)
    return [head, *tail]


@lru_cache(maxsize=1024)
def _model(name: str, version: int) -> bytes:
    return optional(_RESPONSE["model_name"].number, name) + optional(
        _RESPONSE["model_version"].number, str(version)
    )


@lru_cache(maxsize=4096)
def _output(name: str, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> bytes:
    content = optional(_OUTPUT["name"].number, name) + optional(
        _OUTPUT["datatype"].number, datatype_of(np.empty(0, dtype)).value
    )
    if shape:
        content += field(_OUTPUT["shape"].number, b"".join(map(varint, shape)))
    return field(_RESPONSE["outputs"].number, content)


def encode_stream_error(text: str, request_id: str, queued: InferRequest | None) -> bytes:
    """A ModelStreamInferResponse that is an error.

    As with Triton, one of a request that had been queued says more: the model and the version that were
    asked for, and that this is its last answer.
    """
    message = pb.ModelStreamInferResponse(error_message=text)
    response = message.infer_response
    response.id = request_id
    if queued is not None:
        response.model_name = queued.model_name
        response.model_version = "" if queued.model_version is None else str(queued.model_version)
        response.parameters[_FINAL].bool_param = True
    return message.SerializeToString()
