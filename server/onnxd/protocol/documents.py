"""The JSON documents of the HTTP endpoints besides inference, as plain values that orjson writes.

Pure: whoever calls says what is loaded. proto_documents has the same for gRPC; config_document has the model
configuration, which is a message first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from onnxd.telemetry.statistics import Duration, StatisticsSnapshot
from onnxd.tensors import ModelSpec, TensorSpec

Document = dict[str, Any]

EXTENSIONS: Final = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
"""Those of Triton's that the codecs and this server serve, by the names and in the order that Triton uses."""


def extensions(*, shared_memory: bool) -> tuple[str, ...]:
    """EXTENSIONS, and what the operator has switched on, in its place in Triton's order."""
    if not shared_memory:
        return EXTENSIONS
    at = EXTENSIONS.index("binary_tensor_data")
    return (*EXTENSIONS[:at], "system_shared_memory", *EXTENSIONS[at:])


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One line of the repository index. Empty texts and None are left out."""

    name: str
    version: int | None = None
    state: str = ""
    reason: str = ""
    memory: Mapping[str, int] = field(default_factory=dict)
    """Ours, and in the HTTP document only: the protocol's message has no place for it."""


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """The counters of one served version."""

    name: str
    version: int
    counters: StatisticsSnapshot
    resident_bytes: int = 0
    """Memory that it holds; 0 = not known."""


def server_metadata(name: str, version: str, extensions: Sequence[str]) -> Document:
    return {"name": name, "version": version, "extensions": list(extensions)}


def model_metadata(spec: ModelSpec, versions: Iterable[int]) -> Document:
    """`versions`: the one that was asked for, or all that are READY, ascending."""
    return {
        "name": spec.name,
        "versions": [str(version) for version in versions],
        "platform": spec.platform,
        "inputs": [_tensor_metadata(spec, tensor) for tensor in spec.inputs],
        "outputs": [_tensor_metadata(spec, tensor) for tensor in spec.outputs],
    }


def _tensor_metadata(spec: ModelSpec, tensor: TensorSpec) -> Document:
    return {
        "name": tensor.name,
        "datatype": tensor.datatype.value,
        "shape": list(spec.wire_shape(tensor)),
    }


def repository_index(rows: Iterable[IndexRow], *, extended: bool = True) -> list[Document]:
    """`extended`: with what the protocol does not have."""
    document = []
    for row in rows:
        entry: Document = {"name": row.name}
        if row.version is not None:
            entry["version"] = str(row.version)
        if row.state:
            entry["state"] = row.state
        if row.reason:
            entry["reason"] = row.reason
        if row.memory and extended:
            entry["memory"] = dict(row.memory)
        document.append(entry)
    return document


def statistics(rows: Iterable[StatisticsRow]) -> Document:
    """perf_analyzer reads every duration without looking whether it is there, so all are, the cache's too."""
    return {"model_stats": [_model_statistics(row) for row in rows]}


def _model_statistics(row: StatisticsRow) -> Document:
    counters = row.counters
    return {
        "name": row.name,
        "version": str(row.version),
        "last_inference": counters.last_inference_ms,
        "inference_count": counters.inference_count,
        "execution_count": counters.execution_count,
        "inference_stats": {
            "success": _duration(counters.success),
            "fail": _duration(counters.fail),
            "queue": _duration(counters.queue),
            "compute_input": _duration(counters.compute_input),
            "compute_infer": _duration(counters.compute_infer),
            "compute_output": _duration(counters.compute_output),
            "cache_hit": _duration(Duration()),
            "cache_miss": _duration(Duration()),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": batch.batch_size,
                "compute_input": _duration(batch.compute_input),
                "compute_infer": _duration(batch.compute_infer),
                "compute_output": _duration(batch.compute_output),
            }
            for batch in counters.batches
        ],
        "memory_usage": (
            [{"type": "CPU", "id": 0, "byte_size": row.resident_bytes}] if row.resident_bytes else []
        ),
    }


def _duration(duration: Duration) -> Document:
    return {"count": duration.count, "ns": duration.ns}
