"""What a server span says about its request: OpenTelemetry's own names where it has them, else `onnxd.*`."""

from collections.abc import Mapping
from typing import Final

from onnxd.messages import InferRequest, Timeline

AttributeValue = str | bool | int | float
Attributes = Mapping[str, AttributeValue]

MODEL_NAME: Final = "onnxd.model.name"
MODEL_VERSION: Final = "onnxd.model.version"
REQUEST_ID: Final = "onnxd.request.id"
BATCH_ROWS: Final = "onnxd.batch.rows"
BATCH_REQUESTS: Final = "onnxd.batch.requests"
BATCH_CUT: Final = "onnxd.batch.cut"
PRINCIPAL: Final = "enduser.id"
ERROR_TYPE: Final = "error.type"


def http_attributes(method: str, route: str, status: int) -> dict[str, AttributeValue]:
    """How the request came over HTTP. `route` is the pattern, `/v2/models/{model}/infer`, not the path."""
    return {"http.request.method": method, "http.route": route, "http.response.status_code": status}


def grpc_attributes(method: str, code: str) -> dict[str, AttributeValue]:
    """How the request came over gRPC: `inference.GRPCInferenceService/ModelInfer` and the code's name."""
    return {
        "rpc.system.name": "grpc",
        "rpc.method": method.removeprefix("/"),
        "rpc.response.status_code": code,
    }


def request_attributes(request: InferRequest, version: int | None) -> dict[str, AttributeValue]:
    """Which model the request was for. `version` is the one that answered; None = none got as far."""
    attributes: dict[str, AttributeValue] = {
        MODEL_NAME: request.model_name,
        PRINCIPAL: request.principal.name,
    }
    version = request.model_version if version is None else version
    if version is not None:
        attributes[MODEL_VERSION] = version
    if request.id:
        attributes[REQUEST_ID] = request.id
    return attributes


def batch_attributes(timeline: Timeline) -> dict[str, AttributeValue]:
    """The batch that the request ran in; empty when it never ran."""
    if not timeline.batch_requests:
        return {}
    return {
        BATCH_ROWS: timeline.batch_rows,
        BATCH_REQUESTS: timeline.batch_requests,
        BATCH_CUT: timeline.cut,
    }


def printable(value: AttributeValue) -> AttributeValue:
    """The value with lone surrogates escaped.

    Header bytes that are not UTF-8 arrive as surrogates; protobuf refuses them, and one such attribute
    would cost the whole batch of spans that it is exported with.
    """
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value
