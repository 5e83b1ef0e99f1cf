"""The gRPC form of every call: messages of inference.GRPCInferenceService, with raw tensor contents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from onnxd_client import tensors
from onnxd_client.codec import CONFIG, FILE, ROLLBACK, Exchange, InferCall, LoadOverride, Parameter
from onnxd_client.errors import InvalidRequest, ServerError, ServerFault
from onnxd_client.proto_document import document
from onnxd_client.results import (
    Document,
    IndexEntry,
    InferResult,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)
from onnxd_protos.grpc_service_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelConfigRequest,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelRepositoryParameter,
    ModelStatisticsRequest,
    ModelStreamInferResponse,
    RepositoryIndexRequest,
    RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
    ServerLiveRequest,
    ServerMetadataRequest,
    ServerReadyRequest,
)
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES, Method

METHODS: Final[Mapping[str, Method]] = SERVICES[GRPC_INFERENCE_SERVICE]
FINAL_RESPONSE: Final = "triton_final_response"
T = TypeVar("T")

_CONTENTS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@dataclass(frozen=True, slots=True)
class GrpcRequest:
    """A message, and the method that takes it."""

    method: Method
    message: Message


# The method's deserializer fixes the reply's class, which types cannot follow through the table.
GrpcExchange = Exchange[GrpcRequest, Any, T]


class GrpcCodec:
    def deadline_headers(self, timeout: float) -> Mapping[str, str]:
        return {}  # a gRPC deadline is part of the call itself

    def live(self) -> GrpcExchange[bool]:
        return _exchange("ServerLive", ServerLiveRequest(), lambda reply: bool(reply.live), retried=False)

    def ready(self) -> GrpcExchange[bool]:
        return _exchange("ServerReady", ServerReadyRequest(), lambda reply: bool(reply.ready), retried=False)

    def model_ready(self, model: str, version: str) -> GrpcExchange[bool]:
        request = ModelReadyRequest(name=model, version=version)
        return _exchange("ModelReady", request, lambda reply: bool(reply.ready), retried=False)

    def server(self) -> GrpcExchange[ServerMetadata]:
        return _exchange(
            "ServerMetadata",
            ServerMetadataRequest(),
            lambda reply: ServerMetadata(reply.name, reply.version, tuple(reply.extensions)),
        )

    def metadata(self, model: str, version: str) -> GrpcExchange[ModelMetadata]:
        return _exchange(
            "ModelMetadata",
            ModelMetadataRequest(name=model, version=version),
            lambda reply: ModelMetadata(
                name=reply.name,
                versions=tuple(reply.versions),
                platform=reply.platform,
                inputs=_tensor_metadata(reply.inputs),
                outputs=_tensor_metadata(reply.outputs),
            ),
        )

    def config(self, model: str, version: str) -> GrpcExchange[Document]:
        request = ModelConfigRequest(name=model, version=version)
        return _exchange("ModelConfig", request, lambda reply: document(reply.config))

    def statistics(self, model: str, version: str) -> GrpcExchange[list[Document]]:
        request = ModelStatisticsRequest(name=model, version=version)
        return _exchange(
            "ModelStatistics", request, lambda reply: [document(one) for one in reply.model_stats]
        )

    def placement(self, model: str, version: str) -> GrpcExchange[Document]:
        raise InvalidRequest("the placement report is answered over HTTP only: use an http:// address")

    def batching(self, model: str, version: str) -> GrpcExchange[Document]:
        raise InvalidRequest("the batching report is answered over HTTP only: use an http:// address")

    def recent(self, model: str) -> GrpcExchange[Document]:
        raise InvalidRequest("the last requests are told over HTTP only: use an http:// address")

    def index(self, ready: bool) -> GrpcExchange[tuple[IndexEntry, ...]]:
        return _exchange(
            "RepositoryIndex",
            RepositoryIndexRequest(ready=ready),
            lambda reply: tuple(
                IndexEntry(one.name, one.version, one.state, one.reason) for one in reply.models
            ),
        )

    def load(self, model: str, override: LoadOverride) -> GrpcExchange[None]:
        parameters = {
            FILE + path: ModelRepositoryParameter(bytes_param=data) for path, data in override.files.items()
        }
        if (config := override.config_text()) is not None:
            parameters[CONFIG] = ModelRepositoryParameter(string_param=config)
        request = RepositoryModelLoadRequest(model_name=model, parameters=parameters)
        return _exchange("RepositoryModelLoad", request, _nothing)

    def rollback(self, model: str) -> GrpcExchange[None]:
        request = RepositoryModelLoadRequest(
            model_name=model, parameters={ROLLBACK: ModelRepositoryParameter(bool_param=True)}
        )
        # Twice would be once back and forth.
        return _exchange("RepositoryModelLoad", request, _nothing, retried=False)

    def unload(self, model: str) -> GrpcExchange[None]:
        return _exchange("RepositoryModelUnload", RepositoryModelUnloadRequest(model_name=model), _nothing)

    def infer(self, call: InferCall) -> GrpcExchange[InferResult]:
        return _exchange("ModelInfer", infer_request(call), infer_result)


def _exchange(
    method: str, message: Message, read: Callable[[Any], T], retried: bool = True
) -> GrpcExchange[T]:
    return Exchange(GrpcRequest(METHODS[method], message), read, retried)


def _nothing(reply: object) -> None:
    """Load and unload answer with an empty message."""


def infer_request(call: InferCall) -> ModelInferRequest:
    """Raises InvalidRequest for a number that no parameter can hold."""
    request = ModelInferRequest(
        model_name=call.model,
        model_version=call.version,
        id=call.id,
        inputs=[
            ModelInferRequest.InferInputTensor(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            for tensor in call.inputs
        ],
        outputs=[
            ModelInferRequest.InferRequestedOutputTensor(
                name=name,
                parameters={} if classes is None else {"classification": InferParameter(int64_param=classes)},
            )
            for name, classes in call.outputs.items()
        ],
        raw_input_contents=[bytes(tensor.data) for tensor in call.inputs],
    )
    for name, value in call.parameters.items():
        request.parameters[name].CopyFrom(_parameter(name, value))
    if call.priority is not None:
        request.parameters["priority"].uint64_param = call.priority
    return request


def infer_result(reply: ModelInferResponse) -> InferResult:
    """Raises ServerFault when the reply contradicts itself."""
    raw = reply.raw_output_contents
    if raw and len(raw) != len(reply.outputs):
        raise ServerFault(
            f"the answer describes {len(reply.outputs)} outputs and holds the data of {len(raw)}"
        )
    outputs: dict[str, tensors.Array] = {}
    for number, output in enumerate(reply.outputs):
        shape = tuple(output.shape)
        if any(size < 0 for size in shape):
            raise ServerFault(f"output {output.name!r}: the answer has the shape {list(shape)}")
        if raw:
            outputs[output.name] = tensors.decode(output.name, output.datatype, shape, raw[number])
        else:
            values = _contents(output.name, output.datatype, output.contents)
            outputs[output.name] = tensors.from_values(output.name, output.datatype, shape, values)
    return InferResult(
        model_name=reply.model_name,
        model_version=reply.model_version,
        id=reply.id,
        outputs=outputs,
        parameters={
            name: _parameter_value(value)
            for name, value in reply.parameters.items()
            if name != FINAL_RESPONSE
        },
    )


def stream_result(reply: ModelStreamInferResponse) -> InferResult:
    """Raises ServerError for an answer that is an error: streams carry its text, but no code."""
    if reply.error_message:
        raise ServerError(reply.error_message)
    return infer_result(reply.infer_response)


def ends_request(reply: ModelStreamInferResponse) -> bool:
    """Whether this is the last answer to its request. A server that does not say so gives one answer each."""
    parameters = reply.infer_response.parameters
    return FINAL_RESPONSE not in parameters or parameters[FINAL_RESPONSE].bool_param


def is_empty(reply: ModelStreamInferResponse) -> bool:
    """Whether this only marks the end of a request that had its answers before."""
    return not reply.error_message and not reply.infer_response.outputs and ends_request(reply)


def _parameter(name: str, value: Parameter) -> InferParameter:
    if isinstance(value, bool):
        return InferParameter(bool_param=value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return InferParameter(int64_param=value)
        if 0 <= value < 1 << 64:
            return InferParameter(uint64_param=value)
        raise InvalidRequest(f"parameter {name!r}: {value} does not fit in 64 bits")
    if isinstance(value, float):
        return InferParameter(double_param=value)
    return InferParameter(string_param=value)


def _parameter_value(parameter: InferParameter) -> Parameter:
    kind = parameter.WhichOneof("parameter_choice")
    value: Parameter = getattr(parameter, kind) if kind else ""
    return value


def _contents(name: str, datatype: str, contents: InferTensorContents) -> list[object]:
    field = _CONTENTS.get(datatype)
    if field is None:
        raise ServerFault(f"output {name!r}: {datatype!r} cannot be sent as explicit contents")
    return list(getattr(contents, field))


def _tensor_metadata(messages: Any) -> tuple[TensorMetadata, ...]:
    return tuple(TensorMetadata(one.name, one.datatype, tuple(one.shape)) for one in messages)
