"""An inference request over HTTP: JSON, the tensors' bytes behind it or in it, or a raw body alone."""

import math
from typing import Any, Final

from onnxd.errors import MalformedPayload, TensorMismatch
from onnxd.messages import InferRequest, RequestedOutput, SharedInput, SharedPlace
from onnxd.protocol.binary import decode_tensor, string_array
from onnxd.protocol.json_tensor import decode_json_tensor
from onnxd.protocol.json_text import check_structure, count_colons, parse_json
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.names import check_request_id
from onnxd.protocol.parameters import (
    NO_PARAMETERS,
    check_parameter_count,
    read_classification,
    read_request_parameters,
)
from onnxd.protocol.shapes import count_elements
from onnxd.protocol.shared_memory import names_place, read_output_place, read_place, shared_input
from onnxd.protocol.wording import show, show_names, show_shape
from onnxd.tensors import Array, Datatype, ModelSpec

_DATATYPES: Final = {datatype.value: datatype for datatype in Datatype}


def length_of(value: str) -> int | None:
    """A length as HTTP writes it; None = it is none. int() would also take "+5", "1_0", " 5" and digits of
    other scripts."""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


def parse_header_length(value: str, body_length: int) -> int:
    """The `Inference-Header-Content-Length` of a decompressed body. Raises MalformedPayload.

    0 announces a raw binary request.
    """
    length = length_of(value)
    if length is None or length > body_length:
        raise MalformedPayload(
            "header 'Inference-Header-Content-Length': expected the length of the body's JSON part, an "
            f"integer from 0 to {body_length} (the body's decompressed length), got {show(value)}"
        )
    return length


def decode_infer_request(
    body: bytes | memoryview,
    header_length: int | None,
    *,
    model_name: str,
    model_version: int | None,
    limits: ProtocolLimits,
) -> InferRequest:
    """A request whose first `header_length` bytes are JSON (None = all of them), the rest binary tensors.

    Binary inputs are views over `body`, which must not change afterwards; those in shared memory are left
    for whoever has its regions. Raises MalformedPayload and PayloadTooLarge. Nothing here knows the model:
    see validate().
    """
    if header_length is None:
        text = body if type(body) is bytes else bytes(body)
        tail = memoryview(b"")
    else:
        view = memoryview(body)
        text = bytes(view[:header_length])
        tail = view[header_length:]
    document = parse_json(text, limits)
    if type(document) is not dict:
        raise MalformedPayload(f"expected the request to be a JSON object, got {show(document)}")

    entries = document.get("inputs")
    if type(entries) is not list:
        raise MalformedPayload(
            f"expected 'inputs' to be an array of objects, got {_shown(document, 'inputs')}"
        )
    if len(entries) > limits.max_inputs:
        raise MalformedPayload(f"expected at most {limits.max_inputs} inputs, got {len(entries)}")

    keys = len(document)
    inputs: dict[str, Array] = {}
    shared: dict[str, SharedInput] = {}
    offset = 0
    for entry in entries:
        if type(entry) is not dict:
            raise MalformedPayload(f"expected each of 'inputs' to be an object, got {show(entry)}")
        name = entry.get("name")
        if type(name) is not str:
            raise MalformedPayload(
                f"expected 'name' of input {len(inputs) + len(shared)} to be a string, got "
                f"{_shown(entry, 'name')}"
            )
        if name in inputs or name in shared:
            raise MalformedPayload(f"input {show(name)} appears twice in 'inputs'")
        keys += len(entry)
        parameters = entry.get("parameters")
        if parameters is not None:
            _check_parameters("input", name, parameters, limits)
            keys += len(parameters)
        tensor, offset = _decode_input(name, entry, parameters or {}, tail, offset, limits)
        if isinstance(tensor, SharedInput):
            shared[name] = tensor
        else:
            inputs[name] = tensor
    if offset != len(tail):
        raise MalformedPayload(
            f"the body has {len(tail)} bytes behind its JSON, but the inputs' 'binary_data_size' add up to "
            f"{offset}"
        )

    outputs: tuple[RequestedOutput, ...] = ()
    if (requested := document.get("outputs")) is not None:
        outputs, output_keys = _decode_outputs(requested, limits)
        keys += output_keys

    settings = NO_PARAMETERS
    if (values := document.get("parameters")) is not None:
        if type(values) is not dict:
            raise MalformedPayload(f"expected 'parameters' to be an object, got {show(values)}")
        keys += len(values)
        settings = read_request_parameters(values, limits, http=True)

    # Nearly always as many colons as keys that were read; a colon in a string, an unknown member with
    # keys of its own, or a key given twice makes them differ, and then it is worth a closer look.
    if count_colons(text) != keys:
        check_structure(text, document, limits)

    return InferRequest(
        model_name=model_name,
        model_version=model_version,
        inputs=inputs,
        id=check_request_id(document.get("id"), limits),
        outputs=outputs,
        binary_by_default=settings.binary_by_default,
        parameters=settings.kept,
        priority=settings.priority,
        queue_timeout_s=settings.queue_timeout_s,
        byte_size=len(body),
        shared_inputs=shared,
    )


def _decode_input(
    name: str,
    entry: dict[str, Any],
    parameters: dict[str, Any],
    tail: memoryview,
    offset: int,
    limits: ProtocolLimits,
) -> tuple[Array | SharedInput, int]:
    """The tensor, and where the next one's bytes begin in the tail."""
    wanted = entry.get("datatype")
    datatype = _DATATYPES.get(wanted) if type(wanted) is str else None
    if datatype is None:
        raise MalformedPayload(
            f"input {show(name)}: expected 'datatype' to be one of {', '.join(_DATATYPES)}, got "
            f"{_shown(entry, 'datatype')}"
        )
    shape = entry.get("shape")
    if type(shape) is not list:
        raise MalformedPayload(
            f"input {show(name)}: expected 'shape' to be an array of integers, got {_shown(entry, 'shape')}"
        )
    count = count_elements(name, shape, limits)

    data = entry.get("data")
    shared = bool(parameters) and names_place(parameters)
    binary = "binary_data_size" in parameters
    if (data is not None) + binary + shared != 1:
        given = [
            key
            for key, present in (
                ("data", data is not None),
                ("binary_data_size", binary),
                ("shared_memory_region", shared),
            )
            if present
        ]
        raise MalformedPayload(
            f"input {show(name)}: expected exactly one of 'data', parameter 'binary_data_size' and "
            f"parameter 'shared_memory_region', got {show_names(given)}"
        )
    if shared:
        place = read_place("input", name, parameters)
        return shared_input(name, datatype, shape, count, place, limits), offset
    if not binary:
        return decode_json_tensor(name, datatype, shape, count, data, limits), offset

    size = parameters["binary_data_size"]
    if type(size) is not int or size < 0:
        raise MalformedPayload(
            f"input {show(name)}: expected 'binary_data_size' to be an integer of at least 0, got "
            f"{show(size)}"
        )
    end = offset + size
    if end > len(tail):
        raise MalformedPayload(
            f"input {show(name)}: 'binary_data_size' is {size}, but only {len(tail) - offset} bytes are "
            "left behind the JSON (is 'Inference-Header-Content-Length' right?)"
        )
    return decode_tensor(name, datatype, shape, tail[offset:end], limits), end


def _decode_outputs(requested: object, limits: ProtocolLimits) -> tuple[tuple[RequestedOutput, ...], int]:
    """The outputs in the request's order, and how many keys their JSON has."""
    if type(requested) is not list:
        raise MalformedPayload(f"expected 'outputs' to be an array of objects, got {show(requested)}")
    if len(requested) > limits.max_outputs:
        raise MalformedPayload(f"expected at most {limits.max_outputs} outputs, got {len(requested)}")
    keys = 0
    outputs: dict[str, RequestedOutput] = {}
    for entry in requested:
        if type(entry) is not dict:
            raise MalformedPayload(f"expected each of 'outputs' to be an object, got {show(entry)}")
        name = entry.get("name")
        if type(name) is not str:
            raise MalformedPayload(
                f"expected 'name' of output {len(outputs)} to be a string, got {_shown(entry, 'name')}"
            )
        if name in outputs:
            raise MalformedPayload(f"output {show(name)} appears twice in 'outputs'")
        keys += len(entry)
        binary: bool | None = None
        classification = 0
        place: SharedPlace | None = None
        if (parameters := entry.get("parameters")) is not None:
            _check_parameters("output", name, parameters, limits)
            keys += len(parameters)
            binary = parameters.get("binary_data")
            if binary is not None and type(binary) is not bool:
                raise MalformedPayload(
                    f"output {show(name)}: expected parameter 'binary_data' to be true or false, got "
                    f"{show(binary)}"
                )
            if "classification" in parameters:
                classification = read_classification(name, parameters["classification"])
            if names_place(parameters):
                place = read_output_place(
                    name, parameters, binary=bool(binary), classification=classification
                )
        outputs[name] = RequestedOutput(name, binary, classification, place)
    return tuple(outputs.values()), keys


def _check_parameters(kind: str, name: str, parameters: object, limits: ProtocolLimits) -> None:
    if type(parameters) is dict and len(parameters) <= limits.max_parameters:
        return
    where = f"{kind} {show(name)}"
    if type(parameters) is not dict:
        raise MalformedPayload(f"{where}: expected 'parameters' to be an object, got {show(parameters)}")
    check_parameter_count(parameters, limits, where)


def _shown(entry: dict[str, Any], key: str) -> str:
    return show(entry[key]) if key in entry else "nothing"


def decode_raw_request(
    body: bytes | memoryview, spec: ModelSpec, *, model_version: int | None = None
) -> InferRequest:
    """A raw binary request (header length 0): the whole body is the data of the model's only input.

    The batch is one row, one free dimension is computed from the size, and a BYTES input takes the body as
    its one element. All outputs are answered as bytes. `model_version` is what the client asked for; the
    spec is of the version that it would be given. Raises TensorMismatch where the model does not allow this
    form, MalformedPayload where the size does not fit.
    """
    if len(spec.inputs) != 1:
        raise TensorMismatch(
            "a raw binary request (Inference-Header-Content-Length: 0) needs a model with one input, but "
            f"{show(spec.name)} has {len(spec.inputs)}: {show_names(tensor.name for tensor in spec.inputs)}"
        )
    (tensor,) = spec.inputs
    item = tensor.shape
    free = item.count(-1)
    batch = (1,) if spec.batches else ()
    array: Array
    if tensor.datatype is Datatype.BYTES:
        if any(dim not in (1, -1) for dim in item):
            raise TensorMismatch(
                f"input {show(tensor.name)}: a raw binary request is one BYTES element, but the model's "
                f"shape is {show_shape(item)}"
            )
        try:
            text = bytes(body).decode()
        except UnicodeDecodeError as error:
            raise MalformedPayload(
                f"input {show(tensor.name)}: the body is not UTF-8 (byte {error.start}), and a string "
                "tensor of ONNX holds text only"
            ) from None
        array = string_array([text]).reshape(batch + tuple(1 for _ in item))
    else:
        if free > 1:
            raise TensorMismatch(
                f"input {show(tensor.name)}: a raw binary request can leave one dimension open, but the "
                f"model's shape {show_shape(item)} has {free}"
            )
        known = math.prod(dim for dim in item if dim != -1) * tensor.datatype.dtype.itemsize
        found = len(body) // known if free and known else 0
        shape = batch + tuple(found if dim == -1 else dim for dim in item)
        array = decode_tensor(tensor.name, tensor.datatype, shape, body)
    return InferRequest(
        model_name=spec.name,
        model_version=model_version,
        inputs={tensor.name: array},
        binary_by_default=True,
        byte_size=len(body),
    )
