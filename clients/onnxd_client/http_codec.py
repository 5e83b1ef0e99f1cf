"""The HTTP form of every call: JSON, with tensors behind it as the binary extension lays them out."""

import json
import math
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from onnxd_client import tensors
from onnxd_client.codec import CONFIG, FILE, ROLLBACK, Exchange, InferCall, LoadOverride, Parameter
from onnxd_client.errors import InvalidRequest, ServerError, ServerFault
from onnxd_client.http_errors import error_class, retry_after
from onnxd_client.results import (
    Document,
    IndexEntry,
    InferResult,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
DEADLINE = "x-request-timeout-ms"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`path` begins with a slash and is already escaped."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`headers` has lower-case names; `body` is already decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


HttpExchange = Exchange[HttpRequest, HttpReply, T]


class HttpCodec:
    """`now` is wall-clock time, which a Retry-After date is measured against."""

    def __init__(self, prefix: str = "", now: Callable[[], float] = time.time) -> None:
        self._prefix = prefix
        self._now = now

    def deadline_headers(self, timeout: float) -> Mapping[str, str]:
        if math.isinf(timeout):
            return {}
        return {DEADLINE: str(max(1, math.ceil(timeout * 1000)))}

    def live(self) -> HttpExchange[bool]:
        return Exchange(self._get("/v2/health/live"), self._health((400, 503)), retried=False)

    def ready(self) -> HttpExchange[bool]:
        return Exchange(self._get("/v2/health/ready"), self._health((400, 503)), retried=False)

    def model_ready(self, model: str, version: str) -> HttpExchange[bool]:
        path = _model_path(model, version) + "/ready"
        return Exchange(self._get(path), self._health((400, 404, 503)), retried=False)

    def server(self) -> HttpExchange[ServerMetadata]:
        def read(document: Any) -> ServerMetadata:
            return ServerMetadata(
                str(document["name"]), str(document["version"]), tuple(document.get("extensions", ()))
            )

        return Exchange(self._get("/v2"), self._json(read))

    def metadata(self, model: str, version: str) -> HttpExchange[ModelMetadata]:
        def read(document: Any) -> ModelMetadata:
            return ModelMetadata(
                name=str(document["name"]),
                versions=tuple(document.get("versions", ())),
                platform=str(document.get("platform", "")),
                inputs=_tensor_metadata(document.get("inputs", ())),
                outputs=_tensor_metadata(document.get("outputs", ())),
            )

        return Exchange(self._get(_model_path(model, version)), self._json(read))

    def config(self, model: str, version: str) -> HttpExchange[Document]:
        return Exchange(self._get(_model_path(model, version) + "/config"), self._json(_document))

    def statistics(self, model: str, version: str) -> HttpExchange[list[Document]]:
        path = (_model_path(model, version) if model else "/v2/models") + "/stats"
        return Exchange(
            self._get(path), self._json(lambda document: [_document(one) for one in document["model_stats"]])
        )

    def placement(self, model: str, version: str) -> HttpExchange[Document]:
        return Exchange(self._get(_model_path(model, version) + "/placement"), self._json(_document))

    def batching(self, model: str, version: str) -> HttpExchange[Document]:
        return Exchange(self._get(_model_path(model, version) + "/batching"), self._json(_document))

    def recent(self, model: str) -> HttpExchange[Document]:
        return Exchange(self._get(_model_path(model, "") + "/recent"), self._json(_document))

    def index(self, ready: bool) -> HttpExchange[tuple[IndexEntry, ...]]:
        def read(document: Any) -> tuple[IndexEntry, ...]:
            return tuple(_index_entry(one) for one in document)

        return Exchange(self._post("/v2/repository/index", {"ready": ready}), self._json(read))

    def load(self, model: str, override: LoadOverride) -> HttpExchange[None]:
        parameters = {FILE + path: b64encode(data).decode() for path, data in override.files.items()}
        if (config := override.config_text()) is not None:
            parameters[CONFIG] = config
        document: Document = {"parameters": parameters} if parameters else {}
        return Exchange(self._post(f"/v2/repository/models/{_segment(model)}/load", document), self._nothing)

    def rollback(self, model: str) -> HttpExchange[None]:
        document = {"parameters": {ROLLBACK: True}}
        request = self._post(f"/v2/repository/models/{_segment(model)}/load", document)
        return Exchange(request, self._nothing, retried=False)  # twice would be once back and forth

    def unload(self, model: str) -> HttpExchange[None]:
        return Exchange(self._post(f"/v2/repository/models/{_segment(model)}/unload", {}), self._nothing)

    def infer(self, call: InferCall) -> HttpExchange[InferResult]:
        head = _dumps(_infer_document(call))
        request = HttpRequest(
            "POST",
            self._prefix + _model_path(call.model, call.version) + "/infer",
            {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))},
            b"".join([head, *(tensor.data for tensor in call.inputs)]),
        )
        return Exchange(request, self._read_infer)

    def _read_infer(self, reply: HttpReply) -> InferResult:
        self._check(reply)
        length = _header_length(reply)
        document = _loads(reply.body[:length])
        try:
            return _infer_result(document, memoryview(reply.body)[length:])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServerFault(f"the answer is not an inference response: {error!r}") from error

    def _get(self, path: str) -> HttpRequest:
        return HttpRequest("GET", self._prefix + path)

    def _post(self, path: str, document: Document) -> HttpRequest:
        return HttpRequest(
            "POST", self._prefix + path, {"Content-Type": "application/json"}, _dumps(document)
        )

    def _check(self, reply: HttpReply) -> None:
        if reply.status != 200:
            raise refusal(reply, self._now())

    def _nothing(self, reply: HttpReply) -> None:
        self._check(reply)

    def _health(self, no: tuple[int, ...]) -> Callable[[HttpReply], bool]:
        def read(reply: HttpReply) -> bool:
            if reply.status in no:
                return False
            self._check(reply)
            return True

        return read

    def _json(self, read: Callable[[Any], T]) -> Callable[[HttpReply], T]:
        def checked(reply: HttpReply) -> T:
            self._check(reply)
            document = _loads(reply.body)
            try:
                return read(document)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ServerFault(f"the answer does not have the protocol's form: {error!r}") from error

        return checked


def _segment(name: str) -> str:
    # A dot is never escaped, and a path of dots would climb; no server can have such a model.
    if name in ("", ".", ".."):
        raise InvalidRequest(f"model name: expected a name, got {name!r}")
    return quote(name, safe="")


def _model_path(model: str, version: str) -> str:
    path = f"/v2/models/{_segment(model)}"
    return f"{path}/versions/{_segment(version)}" if version else path


def _infer_document(call: InferCall) -> Document:
    document: Document = {}
    if call.id:
        document["id"] = call.id
    parameters: dict[str, Parameter] = dict(call.parameters)
    if call.priority is not None:
        parameters["priority"] = call.priority
    for name, value in parameters.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequest(f"parameter {name!r}: {value} cannot be written in JSON")
    if call.outputs:
        # The representation of a listed output is its own parameter: the request's is not looked at.
        document["outputs"] = [_output(name, classes) for name, classes in call.outputs.items()]
    else:
        parameters["binary_data_output"] = True
    if parameters:
        document["parameters"] = parameters
    document["inputs"] = [
        {
            "name": tensor.name,
            "shape": tensor.shape,
            "datatype": tensor.datatype,
            "parameters": {"binary_data_size": len(tensor.data)},
        }
        for tensor in call.inputs
    ]
    return document


def _output(name: str, classes: int | None) -> Document:
    parameters: Document = {"binary_data": True}
    if classes is not None:
        parameters["classification"] = classes
    return {"name": name, "parameters": parameters}


def _header_length(reply: HttpReply) -> int:
    value = reply.headers.get(HEADER_LENGTH.lower())
    if value is None:
        return len(reply.body)
    if not (value.isascii() and value.isdigit() and int(value) <= len(reply.body)):
        raise ServerFault(f"{HEADER_LENGTH} is {value!r} in an answer of {len(reply.body)} bytes")
    return int(value)


def _infer_result(document: Any, tail: memoryview) -> InferResult:
    outputs: dict[str, tensors.Array] = {}
    position = 0
    for one in document["outputs"]:
        name, datatype, shape = str(one["name"]), str(one["datatype"]), _shape(one["shape"])
        size = (one.get("parameters") or {}).get("binary_data_size")
        if size is None:
            outputs[name] = tensors.from_values(name, datatype, shape, one["data"])
            continue
        if not isinstance(size, int) or not 0 <= size <= len(tail) - position:
            raise ServerFault(f"output {name!r}: {size} bytes announced, {len(tail) - position} are there")
        outputs[name] = tensors.decode(name, datatype, shape, tail[position : position + size])
        position += size
    if position != len(tail):
        raise ServerFault(f"the answer has {len(tail) - position} bytes that belong to no output")
    return InferResult(
        model_name=str(document["model_name"]),
        model_version=str(document.get("model_version", "")),
        id=str(document.get("id", "")),
        outputs=outputs,
        parameters=dict(document.get("parameters") or {}),
    )


def _shape(values: Sequence[object]) -> tuple[int, ...]:
    shape = tuple(value for value in values if isinstance(value, int) and value >= 0)
    if len(shape) != len(values):
        raise ValueError(f"shape {values!r}")
    return shape


def _tensor_metadata(documents: Sequence[Mapping[str, Any]]) -> tuple[TensorMetadata, ...]:
    return tuple(
        TensorMetadata(str(one["name"]), str(one["datatype"]), tuple(int(size) for size in one["shape"]))
        for one in documents
    )


def _document(value: object) -> Document:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def refusal(reply: HttpReply, now: float) -> ServerError:
    """The error that an answer is. `now`: seconds of the Unix epoch, for dates in Retry-After."""
    return error_class(reply.status)(
        _error_text(reply),
        retry_after=retry_after(reply.headers.get("retry-after"), now),
        status=f"HTTP {reply.status}",
    )


def _error_text(reply: HttpReply) -> str:
    try:
        return str(orjson.loads(reply.body)["error"])
    except (ValueError, KeyError, TypeError):
        text = reply.body[:500].decode(errors="replace").strip()
        return f"HTTP {reply.status}" + (f": {text}" if text else "")


def _dumps(document: Document) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise InvalidRequest(f"the request cannot be written in JSON: {error}") from error


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        # Servers without the binary extension may write NaN and Infinity, which only this parser reads.
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ServerFault(f"the answer is not JSON: {error}") from error


def _index_entry(one: Document) -> IndexEntry:
    memory = one.get("memory", {})
    return IndexEntry(
        name=str(one.get("name", "")),
        version=str(one.get("version", "")),
        state=str(one.get("state", "")),
        reason=str(one.get("reason", "")),
        memory={str(kind): int(size) for kind, size in memory.items()},
    )
