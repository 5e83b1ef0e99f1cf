"""The shapes of the JSON documents, as OpenAPI components; docs/protocol.md has all that there is to them."""

from collections.abc import Mapping
from typing import Any, Final

from onnxd.repository.catalog import ModelState
from onnxd.tensors import Datatype

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TRUTH: Final[Schema] = {"type": "boolean"}
_ANY: Final[Schema] = {}


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object; further members may be there."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        schema["required"] = list(required)
    return schema


_PARAMETERS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"oneOf": [_TEXT, {"type": "number"}, _TRUTH]},
}
_DATA: Final[Schema] = many({"description": "numbers, booleans or text; flat or nested, in row-major order"})
_SHAPE: Final[Schema] = many(_COUNT)
_METADATA_TENSOR: Final[Schema] = record(
    {
        "name": _TEXT,
        "datatype": ref("Datatype"),
        "shape": many({"type": "integer", "minimum": -1, "description": "-1 = any size"}),
    }
)
_DURATION: Final[Schema] = record({"count": _COUNT, "ns": _COUNT})
_DURATIONS: Final = {
    name: ref("Duration")
    for name in (
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output",
        "cache_hit", "cache_miss",
    )
}  # fmt: skip

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": record({"error": {"type": "string", "description": "what is wrong, and how to mend it"}}),
    "Empty": {"type": "object"},
    "Document": {"type": "object", "additionalProperties": _ANY},
    "Datatype": {"type": "string", "enum": [datatype.value for datatype in Datatype]},
    "ServerMetadata": record({"name": _TEXT, "version": _TEXT, "extensions": many(_TEXT)}),
    "ModelMetadata": record(
        {
            "name": _TEXT,
            "versions": many(_TEXT),
            "platform": _TEXT,
            "inputs": many(_METADATA_TENSOR),
            "outputs": many(_METADATA_TENSOR),
        }
    ),
    "RequestInput": record(
        {"name": _TEXT, "datatype": ref("Datatype"), "shape": _SHAPE},
        {
            "data": _DATA,
            "parameters": {**_PARAMETERS, "description": "binary_data_size, shared_memory_region, ..."},
        },
    ),
    "RequestOutput": record(
        {"name": _TEXT},
        {"parameters": {**_PARAMETERS, "description": "binary_data, classification, shared_memory_region"}},
    ),
    "InferRequest": record(
        {"inputs": many(ref("RequestInput"))},
        {"id": _TEXT, "parameters": _PARAMETERS, "outputs": many(ref("RequestOutput"))},
    ),
    "ResponseOutput": record(
        {"name": _TEXT, "datatype": ref("Datatype"), "shape": _SHAPE},
        {"data": _DATA, "parameters": _PARAMETERS},
    ),
    "InferResponse": record(
        {"model_name": _TEXT, "model_version": _TEXT, "outputs": many(ref("ResponseOutput"))},
        {"id": _TEXT, "parameters": _PARAMETERS},
    ),
    "GenerateRequest": {
        "type": "object",
        "description": "inputs by name, numbers or text; whatever else is there is a parameter",
        "additionalProperties": _ANY,
    },
    "GenerateResponse": record({"model_name": _TEXT, "model_version": _TEXT}),
    "SimpleRequest": record({"inputs": many({"description": "numbers, or arrays of them"})}),
    "SimpleResponse": record({"outputs": many(_ANY)}),
    "IndexRequest": record({}, {"ready": _TRUTH}),
    "IndexEntry": record(
        {"name": _TEXT},
        {
            "version": _TEXT,
            "state": {"type": "string", "enum": [state.value for state in ModelState]},
            "reason": _TEXT,
            "memory": record({}, dict.fromkeys(("peak_bytes", "resident_bytes", "returned_bytes"), _COUNT)),
        },
    ),
    "Index": many(ref("IndexEntry")),
    "LoadRequest": record({}, {"parameters": {"type": "object", "additionalProperties": _ANY}}),
    "UnloadRequest": record({}, {"parameters": {"type": "object", "additionalProperties": _TRUTH}}),
    "Duration": _DURATION,
    "ModelStatistics": record(
        {
            "name": _TEXT,
            "version": _TEXT,
            "last_inference": _COUNT,
            "inference_count": _COUNT,
            "execution_count": _COUNT,
            "inference_stats": record(_DURATIONS),
            "batch_stats": many(
                record(
                    {
                        "batch_size": _COUNT,
                        "compute_input": ref("Duration"),
                        "compute_infer": ref("Duration"),
                        "compute_output": ref("Duration"),
                    }
                )
            ),
        }
    ),
    "Statistics": record({"model_stats": many(ref("ModelStatistics"))}),
    "Region": record({"name": _TEXT, "key": _TEXT, "offset": _COUNT, "byte_size": _COUNT}),
    "RegionList": many(ref("Region")),
    "RegionRequest": record({"key": _TEXT, "byte_size": _COUNT}, {"offset": _COUNT}),
    "Live": record({"live": _TRUTH}),
    "Ready": record({"ready": _TRUTH}),
    "Started": record({"started": _TRUTH}),
    "ModelReady": record({"name": _TEXT, "ready": _TRUTH}),
    "Health": record({"status": _TEXT}),
}
