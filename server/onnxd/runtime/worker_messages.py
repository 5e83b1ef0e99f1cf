"""What a model's process is asked and what it answers, as documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from onnxd.errors import ExecutionFailed, LoadFailed, ModelUnavailable, ServerError, TensorMismatch
from onnxd.runtime.trial_messages import TrialRequest, request_from_json, request_to_json

_ERRORS: Final[Mapping[str, type[ServerError]]] = {
    kind.__name__: kind for kind in (ExecutionFailed, LoadFailed, ModelUnavailable, TensorMismatch)
}


class ChildFault(Exception):
    """A bug of ours in a model's process, with the traceback from there."""


@dataclass(frozen=True)
class WorkerLoad:
    """What a process is to build, and to run before it is ready."""

    model: TrialRequest
    """Its file, session, threads and warm-up runs."""
    counts: tuple[int, ...] = ()
    """How often each warm-up run is run."""
    name: str = ""
    """What the process is called in lists of processes, behind `onnxd:`."""


def load_to_json(load: WorkerLoad, memory_bytes: int) -> dict[str, Any]:
    """`memory_bytes`: the process may have this much more than it has, -1 = no limit."""
    return {
        "load": request_to_json(load.model),
        "counts": list(load.counts),
        "name": load.name,
        "memory_bytes": memory_bytes,
    }


def load_from_json(document: Mapping[str, Any]) -> WorkerLoad:
    """The inverse of load_to_json, for the child, which trusts its parent."""
    return WorkerLoad(request_from_json(document["load"]), tuple(document["counts"]), document["name"])


def error_to_json(error: ServerError) -> list[str]:
    return [type(error).__name__, error.message]


def error_from_json(document: Any) -> Exception:
    """What error_to_json was given; a ChildFault for anything else."""
    name, message = document
    return _ERRORS.get(name, ChildFault)(str(message))
