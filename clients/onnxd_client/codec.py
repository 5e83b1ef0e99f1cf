"""What both wires have in common: a call goes in, a request and the reader of its answer come out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson

from onnxd_client.errors import InvalidRequest
from onnxd_client.results import Document, IndexEntry, InferResult, ModelMetadata, ServerMetadata
from onnxd_client.tensors import Tensor

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")
ResultT = TypeVar("ResultT")

Parameter = bool | int | float | str

CONFIG: Final = "config"
FILE: Final = "file:"
"""The parameters of a load that brings its own config, and files under their paths."""

ROLLBACK: Final = "onnxd_rollback"
"""The parameter that makes a load a rollback; the protocol has no call for it."""


@dataclass(frozen=True, slots=True)
class LoadOverride:
    """What a load brings in place of what the repository holds; None and {} = nothing."""

    config: Mapping[str, Any] | None = None
    """A ModelConfig in its JSON form."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """By path within the model, such as `1/model.onnx`."""

    def config_text(self) -> str | None:
        """Raises TypeError for a config that is not JSON. Files go with a config in any case: without one
        servers refuse them."""
        if self.config is None and not self.files:
            return None
        return orjson.dumps(dict(self.config or {})).decode()


@dataclass(frozen=True, slots=True)
class InferCall:
    """One inference, already made of tensors. `outputs` maps a name to its number of classes, or to None."""

    model: str
    version: str
    inputs: tuple[Tensor, ...]
    outputs: Mapping[str, int | None] = field(default_factory=dict)
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    priority: int | None = None

    def __post_init__(self) -> None:
        for name, count in self.outputs.items():
            if count is not None and count < 1:
                raise InvalidRequest(f"output {name!r}: expected at least 1 class, got {count}")
        for name, value in self.parameters.items():
            if not isinstance(value, bool | int | float | str):
                raise InvalidRequest(
                    f"parameter {name!r}: expected a truth value, number or text, got {type(value).__name__}"
                )
        if self.priority is not None and self.priority < 0:
            raise InvalidRequest(f"priority: expected 0 (the model's default) or more, got {self.priority}")


@dataclass(frozen=True, slots=True)
class Exchange(Generic[RequestT, ReplyT, ResultT]):
    """A request, and how to read what comes back: `read` returns the result or raises a ServerError."""

    request: RequestT
    read: Callable[[ReplyT], ResultT]
    retried: bool = True
    """False for questions whose honest answer is "not now"."""


class Codec(Protocol[RequestT, ReplyT]):
    """One wire's form of every call; no I/O. An empty version or model leaves the choice to the server."""

    def live(self) -> Exchange[RequestT, ReplyT, bool]: ...
    def ready(self) -> Exchange[RequestT, ReplyT, bool]: ...
    def model_ready(self, model: str, version: str) -> Exchange[RequestT, ReplyT, bool]: ...
    def server(self) -> Exchange[RequestT, ReplyT, ServerMetadata]: ...
    def metadata(self, model: str, version: str) -> Exchange[RequestT, ReplyT, ModelMetadata]: ...
    def config(self, model: str, version: str) -> Exchange[RequestT, ReplyT, Document]: ...
    def statistics(self, model: str, version: str) -> Exchange[RequestT, ReplyT, list[Document]]: ...
    def placement(self, model: str, version: str) -> Exchange[RequestT, ReplyT, Document]: ...
    def batching(self, model: str, version: str) -> Exchange[RequestT, ReplyT, Document]: ...
    def recent(self, model: str) -> Exchange[RequestT, ReplyT, Document]: ...
    def infer(self, call: InferCall) -> Exchange[RequestT, ReplyT, InferResult]: ...
    def index(self, ready: bool) -> Exchange[RequestT, ReplyT, tuple[IndexEntry, ...]]: ...
    def load(self, model: str, override: "LoadOverride") -> Exchange[RequestT, ReplyT, None]: ...
    def rollback(self, model: str) -> Exchange[RequestT, ReplyT, None]: ...
    def unload(self, model: str) -> Exchange[RequestT, ReplyT, None]: ...

    def deadline_headers(self, timeout: float) -> Mapping[str, str]:
        """How this wire tells the server the seconds that are left; empty where the transport does it."""
        ...
