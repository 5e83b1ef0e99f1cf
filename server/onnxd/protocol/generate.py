"""The generate extension: an inference as one flat JSON object, both ways.

`{"text": "hello", "temperature": 0.5}` -> `{"model_name": ..., "model_version": ..., "answer": "..."}`: a
key that is an input's name is that tensor, any other is a parameter of the request. A tensor is a number,
a string or a boolean, or a flat array of them; its shape follows from the model's.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from onnxd.errors import MalformedPayload, TensorMismatch
from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.json_response import encode_error
from onnxd.protocol.json_tensor import decode_json_tensor, encode_json_tensor
from onnxd.protocol.json_text import check_structure, parse_json
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.names import check_request_id
from onnxd.protocol.parameters import read_request_parameters
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Array, Datatype, ModelSpec, TensorSpec

_PARAMETERS: Final = "parameters"
_ID: Final = "id"
_ANSWERED: Final = (_ID, "model_name", "model_version")
"""What an answer holds beside the outputs."""
_HALVES: Final = (Datatype.FP16, Datatype.BF16)


def decode_generate_request(
    text: bytes, spec: ModelSpec, *, model_version: int | None, limits: ProtocolLimits
) -> InferRequest:
    """The request in a flat object. All outputs are answered, as JSON.

    The object `parameters` counts as if its members stood beside it. `model_version` is what the client
    asked for; the spec is of the version that it would be given. Raises TensorMismatch for a model that has
    no such form, and MalformedPayload.
    """
    _check_model(spec)
    document = parse_json(text, limits)
    if type(document) is not dict:
        raise MalformedPayload(f"expected the request to be a JSON object, got {show(document)}")
    check_structure(text, document, limits)
    inputs: dict[str, Array] = {}
    parameters: dict[str, Any] = {}
    for key, value in _flat(document).items():
        tensor = spec.input(key)
        if tensor is not None:
            inputs[key] = _decode_tensor(tensor, value, spec, limits)
        elif key != _ID:
            parameters[key] = value
    settings = read_request_parameters(parameters, limits, http=True)
    request_id = None if _ID in inputs else document.get(_ID)
    return InferRequest(
        model_name=spec.name,
        model_version=model_version,
        inputs=inputs,
        id=check_request_id(request_id, limits),
        parameters=settings.kept,
        priority=settings.priority,
        queue_timeout_s=settings.queue_timeout_s,
        byte_size=len(text),
    )


def _check_model(spec: ModelSpec) -> None:
    """Raises TensorMismatch for a model whose tensors have no place in a flat object."""
    fault = ""
    if spec.input(_PARAMETERS) is not None:
        fault = f"its input '{_PARAMETERS}' has the name of the object that holds parameters"
    elif taken := _first(spec.outputs, lambda tensor: tensor.name in _ANSWERED):
        fault = f"its output '{taken.name}' has the name of another member of the answer"
    elif half := _first(spec.inputs, lambda tensor: tensor.datatype in _HALVES and not tensor.optional):
        fault = f"its input {show(half.name)} is {half.datatype.value}, which has no JSON form"
    elif half := _first(spec.outputs, lambda tensor: tensor.datatype in _HALVES):
        fault = f"its output {show(half.name)} is {half.datatype.value}, which has no JSON form"
    if fault:
        raise TensorMismatch(
            f"model {show(spec.name)} cannot be asked by 'generate': {fault}; use "
            f"POST /v2/models/{spec.name}/infer"
        )


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """The members of `parameters` among the others."""
    nested = document.get(_PARAMETERS, {})
    if type(nested) is not dict:
        raise MalformedPayload(f"expected '{_PARAMETERS}' to be an object, got {show(nested)}")
    beside = {key: value for key, value in document.items() if key != _PARAMETERS}
    twice = beside.keys() & nested.keys()
    if twice:
        raise MalformedPayload(f"{show(min(twice))} is given both beside and inside of '{_PARAMETERS}'")
    return beside | nested


def _decode_tensor(tensor: TensorSpec, value: object, spec: ModelSpec, limits: ProtocolLimits) -> Array:
    if type(value) is dict or value is None:
        raise MalformedPayload(
            f"input {show(tensor.name)}: expected a single {tensor.datatype.value} or a flat array of them, "
            f"got {show(value)}"
        )
    elements = value if type(value) is list else [value]
    if elements and type(elements[0]) is list:
        raise MalformedPayload(
            f"input {show(tensor.name)}: expected a flat array, whose shape follows from the model's, got "
            "arrays in it"
        )
    shape = _shape(tensor, len(elements), spec)
    return decode_json_tensor(tensor.name, tensor.datatype, shape, len(elements), elements, limits)


def _shape(tensor: TensorSpec, count: int, spec: ModelSpec) -> list[int]:
    """The model's shape with its free dimensions set: the innermost as the count needs it, others to 1."""
    wanted = spec.wire_shape(tensor)
    fixed = math.prod(dim for dim in wanted if dim >= 0)
    free = [axis for axis, dim in enumerate(wanted) if dim < 0]
    shape = [max(dim, 1) if dim < 0 else dim for dim in wanted]
    if free and fixed:
        shape[free[-1]] = count // fixed
    if math.prod(shape) != count:
        raise TensorMismatch(
            f"input {show(tensor.name)}: {count} elements do not make a tensor of shape "
            f"{show_shape(wanted)}, as model {show(spec.name)} expects it"
        )
    return shape


def _first(tensors: Iterable[TensorSpec], fits: Callable[[TensorSpec], bool]) -> TensorSpec | None:
    return next(filter(fits, tensors), None)


def encode_generate_response(response: InferResponse) -> bytes:
    """The answer's object: a single element as itself, more or none as a flat array.

    NaN and infinities are the tokens that the inference endpoint writes. Raises TensorMismatch for FP16 and
    BF16.
    """
    document: dict[str, Any] = {_ID: response.id} if response.id else {}
    document["model_name"] = response.model_name
    document["model_version"] = str(response.model_version)
    for name, array in response.outputs.items():
        data = encode_json_tensor(name, array)
        if array.size == 1:
            data = orjson.Fragment(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
        document[name] = data
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_event(data: bytes) -> bytes:
    """One server-sent event. `data` is JSON as orjson writes it, on one line."""
    return b"data: " + data + b"\n\n"


def encode_error_event(message: str) -> bytes:
    """What a stream says of a request that failed after it had been accepted."""
    return encode_event(encode_error(message))
