"""A loaded model's own infer operation: its tensors by name, and an example that it answers."""

import math
from typing import Any, Final

from onnxd.http_frontend.openapi.command import command
from onnxd.http_frontend.openapi.schemas import Schema, many, record, ref
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

MOST_EXAMPLE_ELEMENTS: Final = 4096
"""Of all inputs together; a model that needs more has a command in its place: the page must stay readable."""

_INTEGERS: Final = frozenset(
    {Datatype.INT8, Datatype.INT16, Datatype.INT32, Datatype.INT64}
    | {Datatype.UINT8, Datatype.UINT16, Datatype.UINT32, Datatype.UINT64}
)
_BOUNDS: Final = {
    Datatype.INT8: (-(2**7), 2**7 - 1),
    Datatype.INT16: (-(2**15), 2**15 - 1),
    Datatype.INT32: (-(2**31), 2**31 - 1),
    Datatype.INT64: (-(2**63), 2**63 - 1),
    Datatype.UINT8: (0, 2**8 - 1),
    Datatype.UINT16: (0, 2**16 - 1),
    Datatype.UINT32: (0, 2**32 - 1),
    Datatype.UINT64: (0, 2**64 - 1),
}


def request_schema(spec: ModelSpec) -> Schema:
    """What the model takes over HTTP in JSON."""
    sent = spec.inputs
    required = sum(not (tensor.optional or tensor.is_mask) for tensor in sent)
    inputs = many({"oneOf": [_tensor_schema(spec, tensor) for tensor in sent]} if sent else {})
    inputs |= {"minItems": required, "maxItems": len(sent)}
    outputs = many(
        record({"name": {"type": "string", "enum": [tensor.name for tensor in spec.outputs]}},
               {"parameters": {"type": "object"}})
    )  # fmt: skip
    return record(
        {"inputs": inputs}, {"id": {"type": "string"}, "parameters": {"type": "object"}, "outputs": outputs}
    )


def response_schema(spec: ModelSpec) -> Schema:
    """What it answers."""
    outputs = many({"oneOf": [_answer_schema(tensor) for tensor in spec.outputs]} if spec.outputs else {})
    return record(
        {"model_name": {"type": "string"}, "model_version": {"type": "string"}, "outputs": outputs},
        {"id": {"type": "string"}, "parameters": {"type": "object"}},
    )


def example(spec: ModelSpec) -> dict[str, Any] | None:
    """A request of one row that the model answers, as far as shapes and datatypes say; None where it would
    be too long to read: then example_command has it. Numbers are 0, and 1 where they are whole: an index that
    most tables have, and no divisor that harms."""
    inputs = _example_inputs(spec)
    if sum(math.prod(tensor["shape"]) for tensor in inputs) > MOST_EXAMPLE_ELEMENTS:
        return None
    return {
        "inputs": [{**tensor, "data": [tensor["data"]] * math.prod(tensor["shape"])} for tensor in inputs]
    }


def example_command(spec: ModelSpec, *, authenticates: bool) -> str:
    """The same request as a command for a shell, however long it is. `authenticates`: callers may need a
    credential."""
    return command(spec.name, _example_inputs(spec), authenticates=authenticates)


def _example_inputs(spec: ModelSpec) -> list[dict[str, Any]]:
    """With one value in place of all."""
    return [
        {
            "name": tensor.name,
            "datatype": tensor.datatype.value,
            "shape": [1 if size < 0 else size for size in spec.wire_shape(tensor)],
            "data": _value(tensor.datatype),
        }
        for tensor in spec.inputs
        if not (tensor.optional or tensor.is_mask)
    ]


def _value(datatype: Datatype) -> int | float | str | bool:
    if datatype is Datatype.BYTES:
        return "text"
    if datatype is Datatype.BOOL:
        return True
    return 1 if datatype in _INTEGERS else 0.0


def _tensor_schema(spec: ModelSpec, tensor: TensorSpec) -> Schema:
    shape = spec.wire_shape(tensor)
    sizes = ", ".join("any" if size < 0 else str(size) for size in shape)
    schema = record(
        {
            "name": {"type": "string", "enum": [tensor.name]},
            "datatype": {"type": "string", "enum": [tensor.datatype.value]},
            "shape": many({"type": "integer", "minimum": 0})
            | {"minItems": len(shape), "maxItems": len(shape), "description": f"[{sizes}]"},
            "data": many(_element_schema(tensor.datatype)),
        }
    )
    return schema | {"title": tensor.name}


def _answer_schema(tensor: TensorSpec) -> Schema:
    schema = record(
        {
            "name": {"type": "string", "enum": [tensor.name]},
            "datatype": ref("Datatype"),
            "shape": many({"type": "integer", "minimum": 0}),
        },
        {"data": many({}), "parameters": {"type": "object"}},
    )
    return schema | {"title": tensor.name}


def _element_schema(datatype: Datatype) -> Schema:
    if datatype is Datatype.BYTES:
        return {"type": "string"}
    if datatype is Datatype.BOOL:
        return {"type": "boolean"}
    if datatype in _BOUNDS:
        least, most = _BOUNDS[datatype]
        return {"type": "integer", "minimum": least, "maximum": most}
    return {"type": "number"}
