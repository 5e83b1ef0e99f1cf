"""What becomes of every field of Triton's ModelConfig: the one table.

    TAKEN            translated; see the modules beside this one
    SHOWN            clients find it in the model's configuration, where Triton does no more with it either
    Unused(why)      would not change an answer: the model loads, and a warning names the field
    Refused(why)     would change answers, or what they mean: the model does not load

A field that is not listed is as the nearest one around it that is; a field at its default is never news.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Plain(Enum):
    """Treatments with nothing to explain."""

    TAKEN = "taken"
    SHOWN = "shown"


TAKEN: Final = Plain.TAKEN
SHOWN: Final = Plain.SHOWN


@dataclass(frozen=True, slots=True)
class Unused:
    """Named in a warning."""

    why: str
    default: bool = False
    """For a truth value: the one that is no news."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Fails the load."""

    why: str


Treatment = Plain | Unused | Refused

_TENSORRT: Final = Refused("it is for TensorRT's own engines; leave it out for an ONNX model")
_NO_PINNED: Final = Unused("there is no pinned memory of the server's own", default=True)

FIELDS: Final[Mapping[str, Treatment]] = {
    "name": TAKEN,
    "platform": TAKEN,
    "backend": TAKEN,
    "runtime": TAKEN,
    "version_policy": TAKEN,
    "max_batch_size": TAKEN,
    "default_model_filename": TAKEN,
    "cc_model_filenames": Unused("every GPU is given the file that default_model_filename names"),
    "metric_tags": Unused("metrics have no labels of the model's own"),
    "input": TAKEN,
    "input.format": SHOWN,
    "input.is_shape_tensor": _TENSORRT,
    "input.is_non_linear_format_io": _TENSORRT,
    "input.allow_ragged_batch": TAKEN,
    "output": TAKEN,
    "output.is_shape_tensor": _TENSORRT,
    "output.is_non_linear_format_io": _TENSORRT,
    "batch_input": TAKEN,
    "batch_output": TAKEN,
    "instance_group": TAKEN,
    "instance_group.name": SHOWN,
    "instance_group.profile": Unused("optimization profiles are TensorRT's"),
    "instance_group.rate_limiter": Unused("instances do not compete for named resources"),
    "instance_group.secondary_devices": Unused("there are no secondary devices"),
    "instance_group.host_policy": Unused("the server has no host policies"),
    "dynamic_batching": TAKEN,
    "sequence_batching": Unused("a model without control inputs and state answers each request by itself"),
    "sequence_batching.control_input": Refused(
        "the server feeds no control tensors (start, ready, end, correlation id) to the graph"
    ),
    "sequence_batching.state": Refused("the server keeps no state between the requests of a sequence"),
    "sequence_batching.iterative_sequence": Refused("a request is run once"),
    "ensemble_scheduling": Refused("ensembles are not supported; let clients call the models one by one"),
    "optimization.graph": TAKEN,
    "optimization.priority": Unused("models have no priority over one another"),
    "optimization.cuda": Unused("CUDA graphs and streams of Triton are TensorRT's"),
    "optimization.execution_accelerators": TAKEN,
    "optimization.input_pinned_memory.enable": _NO_PINNED,
    "optimization.output_pinned_memory.enable": _NO_PINNED,
    "optimization.gather_kernel_buffer_threshold": Unused("inputs are put together by the CPU"),
    "optimization.eager_batching": Unused("an idle instance takes what waits at once, always"),
    "parameters": TAKEN,
    "model_warmup": TAKEN,
    "model_warmup.name": SHOWN,
    "model_operations.op_library_filename": Refused(
        "libraries of custom operators are native code, which a model's directory cannot bring; "
        "express them with ONNX's own operators or as functions in the model"
    ),
    "model_transaction_policy.decoupled": Refused(
        "a request has one answer; set it to false or leave it out"
    ),
    "model_repository_agents.agents": Refused(
        "agents check or change a model's files before Triton loads them, and there are none here; "
        "leave them out if the files may be loaded as they lie there"
    ),
    "response_cache.enable": Unused("answers are not cached"),
    "model_metrics.metric_control": Unused("the buckets of metrics are the server's"),
}
