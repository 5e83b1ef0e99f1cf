"""What every client of the protocol can do, so that one table of cases runs through all of them.

An adapter for each client translates; the cases see only this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self

import numpy as np

Array = np.ndarray[Any, Any]
Document = Mapping[str, Any]

DURATIONS = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
)  # fmt: skip


class Kind(StrEnum):
    """What a refusal means, in each client's own vocabulary."""

    INVALID = "invalid"
    NOT_FOUND = "not found"
    FORBIDDEN = "forbidden"
    TOO_LARGE = "too large"
    UNAVAILABLE = "unavailable"
    FAULT = "the server's fault"


class Refused(Exception):
    """The server said no."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """An inference request. No outputs = all of them; `classes` = the so many best of an output."""

    inputs: Mapping[str, Array]
    version: str = ""
    id: str = ""
    outputs: tuple[str, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. BYTES outputs are object arrays of bytes."""

    model: str
    version: str
    id: str
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a model's metadata."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, document: Document) -> Self:
        return cls(document["name"], document["datatype"], tuple(map(int, document.get("shape", ()))))


@dataclass(frozen=True, slots=True)
class Metadata:
    """A model's metadata."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @classmethod
    def of(cls, document: Document) -> Self:
        return cls(
            document["name"],
            tuple(document["versions"]),
            document["platform"],
            tuple(map(TensorInfo.of, document["inputs"])),
            tuple(map(TensorInfo.of, document["outputs"])),
        )


@dataclass(frozen=True, slots=True)
class Config:
    """What perf_analyzer reads of a model's configuration."""

    name: str
    platform: str
    max_batch_size: int
    batches: bool
    inputs: Mapping[str, tuple[str, tuple[int, ...], bool]]
    """By name: data type, dims, optional."""

    @classmethod
    def of(cls, document: Document) -> Self:
        inputs = {
            entry["name"]: (
                entry["data_type"],
                tuple(map(int, entry["dims"])),
                bool(entry.get("optional", False)),
            )
            for entry in document["input"]
        }
        return cls(
            document["name"],
            document["platform"],
            int(document.get("max_batch_size", 0)),
            "dynamic_batching" in document,
            inputs,
        )


@dataclass(frozen=True, slots=True)
class Statistics:
    """The counters of one version of a model."""

    name: str
    version: str
    inference_count: int
    execution_count: int
    counts: Mapping[str, int]
    """How often, by the name of the duration."""
    times_ns: Mapping[str, int]

    @classmethod
    def of(cls, document: Document) -> Self:
        durations = document["inference_stats"]
        return cls(
            document["name"],
            document["version"],
            int(document["inference_count"]),
            int(document["execution_count"]),
            {name: int(durations[name]["count"]) for name in DURATIONS},
            {name: int(durations[name]["ns"]) for name in DURATIONS},
        )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A line of the repository's index."""

    name: str
    version: str
    state: str
    reason: str = ""

    @classmethod
    def of(cls, document: Document) -> Self:
        return cls(
            document["name"],
            document.get("version", ""),
            document.get("state", ""),
            document.get("reason", ""),
        )


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server this is."""

    name: str
    version: str
    extensions: frozenset[str]


class WireClient(Protocol):
    """One client, connected to one server. Everything but the probes raises Refused."""

    async def live(self) -> bool: ...
    async def ready(self) -> bool: ...
    async def model_ready(self, model: str, version: str = "") -> bool: ...
    async def server(self) -> ServerInfo: ...
    async def metadata(self, model: str, version: str = "") -> Metadata: ...
    async def config(self, model: str, version: str = "") -> Config: ...
    async def statistics(self, model: str = "", version: str = "") -> list[Statistics]: ...
    async def index(self) -> list[IndexEntry]: ...
    async def load(self, model: str) -> None: ...
    async def unload(self, model: str) -> None: ...
    async def infer(self, model: str, request: Request) -> Reply: ...


def as_bytes(array: Array) -> Array:
    """A BYTES tensor as clients variously return it, with every element as bytes."""
    if array.dtype != np.object_:
        return array
    flat = np.empty(array.size, np.object_)
    flat[:] = [element.encode() if isinstance(element, str) else element for element in array.reshape(-1)]
    return flat.reshape(array.shape)
