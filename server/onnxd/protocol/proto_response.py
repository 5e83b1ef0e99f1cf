"""The answer to an inference request over gRPC: every output as raw bytes, at its own index.

The bytes are put together here, from what protobuf makes of everything but the tensors. As a whole message
each tensor would be copied into it and out again, and protobuf's encoder, which grows its buffer as it
goes, takes ten times as long for a large one as a copy does.
"""

from typing import Final

from onnxd.errors import PayloadTooLarge
from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.binary import encode_tensor
from onnxd.tensors import datatype_of
from onnxd_protos import grpc_service_pb2 as pb

_FINAL: Final = "triton_final_response"
_RAW_OUTPUT_CONTENTS: Final = bytes((pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3 | 2,))
"""The key of the field; 2 = its length follows."""
_INFER_RESPONSE: Final = bytes((pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER << 3 | 2,))
_MAX_BYTES: Final = 2**31 - 1
"""Of a protobuf message, for every implementation of it."""


def encode_infer_response(response: InferResponse, *, in_stream: bool = False) -> bytes:
    """A ModelInferResponse, or the ModelStreamInferResponse with it, marked as the last for its request.

    `raw_output_contents[i]` belongs to `outputs[i]`, even when empty: clients index it blindly. Raises
    PayloadTooLarge.
    """
    head = pb.ModelInferResponse(
        model_name=response.model_name, model_version=str(response.model_version), id=response.id
    )
    if in_stream:
        head.parameters[_FINAL].bool_param = True
    parts: list[bytes | memoryview] = []
    for name, array in response.outputs.items():
        head.outputs.add(name=name, datatype=datatype_of(array).value, shape=array.shape)
        data = b"" if name in response.in_shared_memory else encode_tensor(array)
        parts += (_RAW_OUTPUT_CONTENTS, _varint(len(data)), data)
    # A message's fields may come in any order.
    parts.insert(0, head.SerializeToString())
    size = sum(map(len, parts))
    if size > _MAX_BYTES:
        raise PayloadTooLarge(
            f"the answer has {size} bytes, and a message can have {_MAX_BYTES}: ask for less at once"
        )
    if in_stream:
        parts.insert(0, _INFER_RESPONSE + _varint(size))
    return b"".join(parts)


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


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last are marked."""
    if number < 128:
        return bytes((number,))
    groups = bytearray()
    while number >= 128:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)
