"""The OpenAPI description of everything that is answered here, from the table of routes and what is loaded.

OpenAPI 3.0.3: whatever reads descriptions reads it. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from onnxd.http_frontend.call import Route
from onnxd.http_frontend.openapi.model_operation import (
    example,
    example_command,
    request_schema,
    response_schema,
)
from onnxd.http_frontend.openapi.operations import BINARY, JSON, TAGS, Description, description_of
from onnxd.http_frontend.openapi.schemas import SCHEMAS, Schema, ref
from onnxd.security.operations import OPERATIONS
from onnxd.tensors import ModelSpec

_NAMES: Final = {
    "model": "a model's name",
    "version": "a version of it, in digits",
    "repo": "a repository's name; there is one index for all",
    "region": "the name of a shared memory region",
}
_PATTERNS: Final = {"version": "^[0-9]{1,18}$"}
_SECURITY: Final[list[Schema]] = [{"bearer": []}, {"key": []}]
_BINARY_HEADER: Final[Schema] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "bytes of JSON at the start of the body; the rest is raw tensors",
    "schema": {"type": "integer", "minimum": 0},
}
_COMMAND: Final = "An example, where `$ONNXD` is the address of this server, such as `http://127.0.0.1:8000`:"


def describe(
    routes: Iterable[Route], models: Sequence[ModelSpec], *, version: str, authenticates: bool
) -> dict[str, Any]:
    """`models`: those that get an operation of their own. `authenticates`: callers may need a credential."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        described = description_of(route.label)
        if described is not None:
            operation = _operation(route, described, authenticates=authenticates)
            paths.setdefault(route.path, {})[route.method.lower()] = operation
    for spec in models:
        paths[f"/v2/models/{spec.name}/infer"] = {"post": _infer(spec, authenticates=authenticates)}
    components: dict[str, Any] = {"schemas": dict(SCHEMAS)}
    if authenticates:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "an API key or a token"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "onnxd",
            "version": version,
            "description": "A model repository server for ONNX, in the KServe v2 (Triton) protocol.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": components,
    }


def _operation(route: Route, described: Description, *, authenticates: bool) -> dict[str, Any]:
    variables = [segment[1:-1] for segment in route.path.split("/") if segment.startswith("{")]
    parameters: list[Schema] = [_variable(name) for name in variables]
    operation: dict[str, Any] = {
        "tags": [described.tag],
        "operationId": _identifier(route),
        "summary": described.summary,
        "responses": _responses(described),
    }
    text = " ".join(filter(None, (described.text, _permission(route.operation) if authenticates else "")))
    if text:
        operation["description"] = text
    if described.body:
        content: dict[str, Any] = {JSON: {"schema": ref(described.body)}}
        if described.body == "InferRequest":
            content[BINARY] = {"schema": {"type": "string", "format": "binary"}}
            parameters.append(_BINARY_HEADER)
        operation["requestBody"] = {"required": described.body_required, "content": content}
    if parameters:
        operation["parameters"] = parameters
    if authenticates:
        operation["security"] = _SECURITY
    return operation


def _infer(spec: ModelSpec, *, authenticates: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": request_schema(spec)}
    body = example(spec)
    contents, text, more = {JSON: content}, _in_words(spec), dict[str, Any]()
    if body is not None:
        content["example"] = body
    else:
        # Too long to be read as JSON: as raw bytes, which are made on the way.
        contents[BINARY] = {"schema": {"type": "string", "format": "binary"}}
        sent = example_command(spec, authenticates=authenticates)
        text = f"{text}\n\n{_COMMAND}\n\n```sh\n{sent}\n```"
        more = {"parameters": [_BINARY_HEADER], "x-codeSamples": [{"lang": "sh", "source": sent}]}
    operation: dict[str, Any] = {
        "tags": [f"model {spec.name}"],
        "operationId": f"infer {spec.name}",
        "summary": f"Run {spec.name}",
        "description": text,
        "requestBody": {"required": True, "content": contents},
        "responses": {
            "200": {"description": "the answer", "content": {JSON: {"schema": response_schema(spec)}}},
            "default": _refusal(),
        },
        **more,
    }
    if authenticates:
        operation["security"] = _SECURITY
    return operation


def _in_words(spec: ModelSpec) -> str:
    rows = f"Up to {spec.max_batch_size} rows a request." if spec.batches else "One request, one run."
    tensors = [
        f"- {side} `{tensor.name}`: {tensor.datatype.value} {list(spec.wire_shape(tensor))}"
        for side, some in (("input", spec.inputs), ("output", spec.outputs))
        for tensor in some
    ]
    return "\n".join([f"Version {spec.version}. {rows}", "", *tensors])


def _responses(described: Description) -> dict[str, Any]:
    schema: Schema = ref(described.answer) if described.answer else {"type": "string"}
    content = {described.answer_type: {"schema": schema}}
    if described.answer == "InferResponse":
        content[BINARY] = {"schema": {"type": "string", "format": "binary"}}
    return {"200": {"description": "the answer", "content": content}, "default": _refusal()}


def _refusal() -> dict[str, Any]:
    return {
        "description": "a refusal, with what to do about it",
        "content": {JSON: {"schema": ref("Error")}},
    }


def _variable(name: str) -> Schema:
    schema: Schema = {"type": "string", "minLength": 1}
    if name in _PATTERNS:
        schema["pattern"] = _PATTERNS[name]
    return {"name": name, "in": "path", "required": True, "description": _NAMES[name], "schema": schema}


def _permission(operation: str) -> str:
    return f"Needs the scope `{OPERATIONS[operation].verb}`."


def _identifier(route: Route) -> str:
    words = [segment.strip("{}") for segment in route.path.split("/") if segment]
    return "_".join([route.method.lower(), *words]).replace(".", "_")
