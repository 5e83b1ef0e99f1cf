"""The answer to an inference request over HTTP: JSON, and behind it the outputs asked for as bytes."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.binary import encode_tensor
from onnxd.protocol.json_tensor import encode_json_tensor
from onnxd.tensors import datatype_of

_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"
_MOST_HEADS: Final = 256


@dataclass(slots=True)
class EncodedResponse:
    """The body in pieces, in the order in which they are to be written."""

    parts: list[bytes | memoryview]
    """The JSON, then views over the arrays of the response: they must outlive the write."""
    json_length: int | None
    """For the header `Inference-Header-Content-Length`; None = JSON alone, which has no such header."""
    content_type: str

    @property
    def content_length(self) -> int:
        """Bytes of the whole body."""
        return sum(map(len, self.parts))


def encode_infer_response(request: InferRequest, response: InferResponse) -> EncodedResponse:
    """Each output as its own `binary_data` says, or else as the request's `binary_data_output` does; without
    data where it is in shared memory already.

    A client looks for `binary_data_size` in an output that has parameters at all, so they hold nothing else.
    When all binary outputs are empty there is nothing behind the JSON, and the answer is plain JSON. Raises
    TensorMismatch for FP16 and BF16 asked for as JSON, which validate() refuses before anything runs.
    """
    binary = {output.name: output.binary for output in request.outputs if output.binary is not None}
    by_default = request.binary_by_default
    outputs: list[dict[str, Any]] = []
    parts: list[bytes | memoryview] = [b""]
    for name, array in response.outputs.items():
        output: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(array).value,
            "shape": array.shape,
        }
        outputs.append(output)
        if name in response.in_shared_memory:
            continue
        if binary.get(name, by_default):
            content = encode_tensor(array)
            output["parameters"] = {"binary_data_size": len(content)}
            if content:
                parts.append(content)
        else:
            output["data"] = encode_json_tensor(name, array)
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.model_name
    document["model_version"] = str(response.model_version)
    document["outputs"] = outputs
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    parts[0] = head
    if len(parts) == 1:
        return EncodedResponse(parts, None, _JSON)
    return EncodedResponse(parts, len(head), _BINARY)


class ResponseHeads:
    """Encodes answers, and remembers the JSON of those that come again: of the answers that are bytes alone,
    the same model's in the same shapes."""

    def __init__(self) -> None:
        self._heads: dict[Hashable, bytes] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def encode(self, request: InferRequest, response: InferResponse) -> EncodedResponse:
        """As encode_infer_response, which it is where nothing is remembered."""
        if request.outputs or not request.binary_by_default or response.id or response.in_shared_memory:
            return encode_infer_response(request, response)
        parts: list[bytes | memoryview] = [b""]
        known: tuple[Hashable, ...] = (response.model_name, response.model_version)
        for name, array in response.outputs.items():
            content = encode_tensor(array)
            if content:
                parts.append(content)
            # The size says all of BYTES that the shape does not.
            known += (name, array.dtype, array.shape, len(content))
        head = self._heads.get(known)
        if head is None:
            encoded = encode_infer_response(request, response)
            if len(encoded.parts) == 1:
                return encoded
            if len(self._heads) >= _MOST_HEADS:
                del self._heads[next(iter(self._heads))]
            head = self._heads[known] = bytes(encoded.parts[0])
        parts[0] = head
        return EncodedResponse(parts, len(head), _BINARY)


def json_data_bytes(request: InferRequest, response: InferResponse) -> int:
    """How many bytes of tensors encode_infer_response would write as JSON: what it costs."""
    if not request.outputs and request.binary_by_default:
        return 0
    binary = {output.name: output.binary for output in request.outputs if output.binary is not None}
    return sum(
        array.nbytes
        for name, array in response.outputs.items()
        if not binary.get(name, request.binary_by_default) and name not in response.in_shared_memory
    )


def encode_error(message: str) -> bytes:
    """The body of every HTTP error: clients read `error`, whatever the status."""
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
