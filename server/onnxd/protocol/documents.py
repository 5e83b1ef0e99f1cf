"""The JSON documents of the HTTP endpoints besides inference, as plain values that orjson writes.

Pure: whoever calls says what is loaded. proto_documents has the same for gRPC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from onnxd.telemetry.statistics import Duration, StatisticsSnapshot
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

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
class ConfigView:
    """What the configuration endpoint shows of a served version beyond its ModelSpec."""

    instances: int = 1
    kind: Literal["KIND_CPU", "KIND_GPU"] = "KIND_CPU"
    latest: int | None = 1
    """Serve so many of the highest versions; None = all, or those of `only`."""
    only: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    max_queue_size: int = 0
    default_timeout_us: int = 0
    """How long a request may wait in the queue; 0 = as long as its own deadline allows."""
    file: str = "model.onnx"


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One line of the repository index. Empty texts and None are left out."""

    name: str
    version: int | None = None
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """The counters of one served version."""

    name: str
    version: int
    counters: StatisticsSnapshot


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


def model_config(spec: ModelSpec, view: ConfigView) -> Document:
    """Triton's ModelConfig in its JSON form: every scalar and collection written, 64-bit integers as numbers.

    perf_analyzer takes the presence of `dynamic_batching` as a statement: it is there only when the model
    batches. proto_documents makes its message of this document, so the names are checked by protobuf.
    """
    document: Document = {
        "name": spec.name,
        "platform": spec.platform,
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": _version_policy(view),
        "max_batch_size": spec.max_batch_size,
        "input": [
            {
                "name": tensor.name,
                "data_type": config_type(tensor.datatype),
                "format": "FORMAT_NONE",
                **_config_dims(spec, tensor),
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": tensor.optional,
                "is_non_linear_format_io": False,
            }
            for tensor in spec.inputs
        ],
        "output": [
            {
                "name": tensor.name,
                "data_type": config_type(tensor.datatype),
                **_config_dims(spec, tensor),
                "label_filename": "",
                "is_shape_tensor": False,
                "is_non_linear_format_io": False,
            }
            for tensor in spec.outputs
        ],
        "batch_input": [],
        "batch_output": [],
        "instance_group": [
            {
                "name": spec.name,
                "kind": view.kind,
                "count": view.instances,
                "gpus": [],
                "secondary_devices": [],
                "profile": [],
                "passive": False,
                "host_policy": "",
            }
        ],
        "default_model_filename": view.file,
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
    }
    if spec.batches:
        document["dynamic_batching"] = {
            "preferred_batch_size": [spec.max_batch_size],
            "max_queue_delay_microseconds": view.max_queue_delay_us,
            "preserve_ordering": False,
            "priority_levels": 0,
            "default_priority_level": 0,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": view.default_timeout_us,
                "allow_timeout_override": True,
                "max_queue_size": view.max_queue_size,
            },
            "priority_queue_policy": {},
        }
    return document


def config_type(datatype: Datatype) -> str:
    """A datatype as the configuration names it: TYPE_FP32, and TYPE_STRING for BYTES."""
    return "TYPE_STRING" if datatype is Datatype.BYTES else f"TYPE_{datatype.value}"


def _config_dims(spec: ModelSpec, tensor: TensorSpec) -> Document:
    """The shape without the batch dimension; dims may not be empty, so a scalar is [1]."""
    if tensor.shape:
        return {"dims": list(tensor.shape)}
    return {"dims": [1], "reshape": {"shape": []}} if spec.batches else {"dims": [1]}


def _version_policy(view: ConfigView) -> Document:
    if view.only:
        return {"specific": {"versions": list(view.only)}}
    return {"all": {}} if view.latest is None else {"latest": {"num_versions": view.latest}}


def repository_index(rows: Iterable[IndexRow]) -> list[Document]:
    document = []
    for row in rows:
        entry: Document = {"name": row.name}
        if row.version is not None:
            entry["version"] = str(row.version)
        if row.state:
            entry["state"] = row.state
        if row.reason:
            entry["reason"] = row.reason
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
        "memory_usage": [],
    }


def _duration(duration: Duration) -> Document:
    return {"count": duration.count, "ns": duration.ns}
