"""What a server span says about its request: OpenTelemetry's own names where it has them, else `onnxd.*`."""

from collections.abc import Mapping
from typing import Final

from onnxd.messages import Execution, Timeline

AttributeValue = str | bool | int | float
Attributes = Mapping[str, AttributeValue]

MODEL_NAME: Final = "onnxd.model.name"
MODEL_VERSION: Final = "onnxd.model.version"
REQUEST_ID: Final = "onnxd.request.id"
BATCH_ROWS: Final = "onnxd.batch.rows"
BATCH_REQUESTS: Final = "onnxd.batch.requests"
BATCH_CUT: Final = "onnxd.batch.cut"
CONTENT: Final = "onnxd.model.content"
PROVIDER: Final = "onnxd.provider"
INSTANCE: Final = "onnxd.instance"
RERUN: Final = "onnxd.batch.rerun"
ELEMENTS: Final = "onnxd.batch.elements"
PADDING: Final = "onnxd.batch.padding_elements"
_MAX_CHARACTERS: Final = 1024
PRINCIPAL: Final = "enduser.id"
ERROR_TYPE: Final = "error.type"


def server_attributes(
    operation: str,
    status: int | str,
    model: str,
    version: int | None,
    request_id: str,
    principal: str,
) -> dict[str, AttributeValue]:
    """How a request came, how it ended, and which model it was for.

    `operation` is `POST /v2/models/{model}/infer` with HTTP's number as `status` (the pattern, not the path),
    or `inference.GRPCInferenceService/ModelInfer` with gRPC's name.
    """
    attributes: dict[str, AttributeValue]
    if isinstance(status, int):
        method, _, route = operation.partition(" ")
        attributes = {"http.request.method": method, "http.response.status_code": status}
        if route:
            attributes["http.route"] = route
    else:
        attributes = {
            "rpc.system.name": "grpc",
            "rpc.method": operation.removeprefix("/"),
            "rpc.response.status_code": status,
        }
    if model:
        attributes[MODEL_NAME] = model
    if version is not None:
        attributes[MODEL_VERSION] = version
    if request_id:
        attributes[REQUEST_ID] = request_id
    if principal:
        attributes[PRINCIPAL] = principal
    return attributes


def error_attributes(error: BaseException | None) -> dict[str, AttributeValue]:
    """What a request failed with; empty when it did not."""
    return {} if error is None else {ERROR_TYPE: type(error).__name__}


def batch_attributes(timeline: Timeline) -> dict[str, AttributeValue]:
    """The batch that the request ran in; empty when it never ran."""
    if not timeline.batch_requests:
        return {}
    return {
        BATCH_ROWS: timeline.batch_rows,
        BATCH_REQUESTS: timeline.batch_requests,
        BATCH_CUT: timeline.cut,
    }


def execution_attributes(execution: Execution) -> dict[str, AttributeValue]:
    """What a batch span says of its execution."""
    origin = execution.origin
    attributes: dict[str, AttributeValue] = {
        MODEL_NAME: origin.model,
        MODEL_VERSION: origin.version,
        BATCH_ROWS: execution.rows,
        BATCH_REQUESTS: execution.requests,
        BATCH_CUT: execution.cut,
        INSTANCE: execution.instance,
        ELEMENTS: execution.elements,
        PADDING: execution.padding,
    }
    if origin.content:
        attributes[CONTENT] = origin.content
    if origin.provider:
        attributes[PROVIDER] = origin.provider
    if execution.again:
        attributes[RERUN] = True
    if execution.error:
        attributes[ERROR_TYPE] = execution.error
    return attributes


def printable(value: AttributeValue) -> AttributeValue:
    """The value, bounded, with lone surrogates escaped.

    Header bytes that are not UTF-8 arrive as surrogates; protobuf refuses them, and one such attribute
    would cost the whole batch of spans that it is exported with.
    """
    if not isinstance(value, str):
        return value
    if len(value) > _MAX_CHARACTERS:
        value = value[:_MAX_CHARACTERS]
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
