"""An inference request over gRPC: tensors as raw bytes beside the message, or as typed fields in it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from onnxd.errors import MalformedPayload
from onnxd.messages import InferRequest, RequestedOutput, SharedInput, SharedPlace
from onnxd.protocol.binary import check_string_count, decode_tensor, string_array
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.names import check_model_name, check_request_id, parse_version
from onnxd.protocol.parameters import (
    RequestParameters,
    check_parameter_count,
    read_classification,
    read_request_parameters,
)
from onnxd.protocol.proto_wire import Wire
from onnxd.protocol.shapes import count_elements
from onnxd.protocol.shared_memory import names_place, read_output_place, read_place, shared_input
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Array, Datatype
from onnxd_protos import grpc_service_pb2 as pb

_DATATYPES: Final = {datatype.value: datatype for datatype in Datatype}
_FIELDS: Final = {
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
"""Which field of InferTensorContents holds a datatype. FP16 and BF16 have none: they are sent raw."""
_NO_PARAMETERS: Final = RequestParameters({}, 0, None, True)


def decode_infer_request(
    message: pb.ModelInferRequest, raw: Sequence[Wire], request_id: str, limits: ProtocolLimits
) -> InferRequest:
    """The request in a message, of which the raw tensors and the id are handed in beside it: they may have
    been cut off before it was parsed.

    Inputs in shared memory are left for whoever has its regions; of the others, those without `contents`
    take the entries of `raw_input_contents` in order. Raises InvalidName, and MalformedPayload (also for
    surplus or missing raw entries).
    """
    if len(message.inputs) > limits.max_inputs:
        raise MalformedPayload(f"expected at most {limits.max_inputs} inputs, got {len(message.inputs)}")
    used = 0
    byte_size = 0  # not message.ByteSize(), which encodes the whole message to find out
    inputs: dict[str, Array] = {}
    shared: dict[str, SharedInput] = {}
    for tensor in message.inputs:
        name = tensor.name
        if name in inputs or name in shared:
            raise MalformedPayload(f"input {show(name)} appears twice in 'inputs'")
        datatype = _DATATYPES.get(tensor.datatype)
        if datatype is None:
            raise MalformedPayload(
                f"input {show(name)}: expected 'datatype' to be one of {', '.join(_DATATYPES)}, got "
                f"{show(tensor.datatype)}"
            )
        shape = list(tensor.shape)
        count = count_elements(name, shape, limits)
        if tensor.parameters:
            check_parameter_count(tensor.parameters, limits, f"input {show(name)}")
        if tensor.parameters and names_place(tensor.parameters):
            if tensor.HasField("contents"):
                raise MalformedPayload(
                    f"input {show(name)}: 'contents' must not be set for an input in shared memory"
                )
            place = read_place("input", name, _values(tensor.parameters))
            shared[name] = shared_input(name, datatype, shape, count, place, limits)
        elif tensor.HasField("contents"):
            if raw:
                raise MalformedPayload(
                    f"input {show(name)}: 'contents' must not be set in a request that uses "
                    "'raw_input_contents'"
                )
            inputs[name] = _decode_contents(name, datatype, shape, count, tensor.contents, limits)
            byte_size += tensor.contents.ByteSize()
        elif used < len(raw):
            data = raw[used]
            inputs[name] = decode_tensor(name, datatype, shape, data, limits)
            byte_size += len(data)
            used += 1
        else:
            raise MalformedPayload(
                f"input {show(name)}: no data: neither 'contents' nor an entry of 'raw_input_contents', "
                f"which has {len(raw)} for {len(message.inputs) - len(shared)} inputs"
            )
    if used != len(raw):
        elsewhere = " outside shared memory" if shared else ""
        raise MalformedPayload(
            f"expected one entry of 'raw_input_contents' for each input{elsewhere}, got {len(raw)} for "
            f"{len(message.inputs) - len(shared)}"
        )

    settings = _NO_PARAMETERS
    if message.parameters:
        # Before the values are taken out one by one.
        check_parameter_count(message.parameters, limits, "the request")
        settings = read_request_parameters(_values(message.parameters), limits, http=False)
    return InferRequest(
        model_name=check_model_name(message.model_name),
        model_version=parse_version(message.model_version),
        inputs=inputs,
        id=check_request_id(request_id, limits),
        outputs=_decode_outputs(message, limits) if message.outputs else (),
        binary_by_default=True,
        parameters=settings.kept,
        priority=settings.priority,
        queue_timeout_s=settings.queue_timeout_s,
        byte_size=byte_size,
        shared_inputs=shared,
    )


def _decode_outputs(message: pb.ModelInferRequest, limits: ProtocolLimits) -> tuple[RequestedOutput, ...]:
    if len(message.outputs) > limits.max_outputs:
        raise MalformedPayload(f"expected at most {limits.max_outputs} outputs, got {len(message.outputs)}")
    outputs: dict[str, RequestedOutput] = {}
    for tensor in message.outputs:
        name = tensor.name
        if name in outputs:
            raise MalformedPayload(f"output {show(name)} appears twice in 'outputs'")
        classification = 0
        place: SharedPlace | None = None
        if tensor.parameters:
            check_parameter_count(tensor.parameters, limits, f"output {show(name)}")
            if "classification" in tensor.parameters:
                classification = read_classification(name, _value(tensor.parameters["classification"]))
            if names_place(tensor.parameters):
                values = _values(tensor.parameters)
                place = read_output_place(name, values, binary=False, classification=classification)
        outputs[name] = RequestedOutput(name, None, classification, place)
    return tuple(outputs.values())


def _values(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    return {key: _value(parameter) for key, parameter in parameters.items()}


def _value(parameter: pb.InferParameter) -> Any:
    """The one that is set; None for an empty parameter, which is refused as null is in JSON."""
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)


def _decode_contents(
    name: str,
    datatype: Datatype,
    shape: list[int],
    count: int,
    contents: pb.InferTensorContents,
    limits: ProtocolLimits,
) -> Array:
    expected = _FIELDS.get(datatype)
    if expected is None:
        raise MalformedPayload(
            f"input {show(name)}: {datatype.value} has no field in 'contents'; send it in "
            "'raw_input_contents'"
        )
    filled = [descriptor.name for descriptor, _ in contents.ListFields()]
    if filled and filled != [expected]:
        raise MalformedPayload(
            f"input {show(name)}: expected {datatype.value} in '{expected}' and no other field of "
            f"'contents', got {', '.join(filled)}"
        )
    values = getattr(contents, expected)
    if len(values) != count:
        raise MalformedPayload(
            f"input {show(name)}: shape {show_shape(shape)} needs {count} elements, but '{expected}' has "
            f"{len(values)}"
        )
    if datatype is Datatype.BYTES:
        check_string_count(name, count, limits)
        return _decode_strings(name, values).reshape(shape)
    try:
        # fromiter is the fastest here: upb's containers offer no buffer.
        return np.fromiter(values, datatype.dtype, count).reshape(shape)
    except OverflowError:
        bounds = np.iinfo(datatype.dtype)
        at, value = next(
            (at, value) for at, value in enumerate(values) if not bounds.min <= value <= bounds.max
        )
        raise MalformedPayload(
            f"input {show(name)}: expected each {datatype.value} in '{expected}' to be from {bounds.min} to "
            f"{bounds.max}, got {value} at element {at}"
        ) from None


def _decode_strings(name: str, values: Sequence[bytes]) -> Array:
    try:
        return string_array([value.decode() for value in values])
    except UnicodeDecodeError as error:
        at = next(at for at, value in enumerate(values) if value == error.object)
        raise MalformedPayload(
            f"input {show(name)}: BYTES element {at} is not UTF-8 (byte {error.start} of it), and a string "
            "tensor of ONNX holds text only"
        ) from None
