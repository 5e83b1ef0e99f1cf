"""From a model file to a session on the providers that were asked for, or a reason why not."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxd.errors import LoadFailed
from onnxd.runtime import ort_errors
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.providers import CPU, ProviderChoice, check_active, not_started, resolve
from onnxd.runtime.session_config import SessionConfig, check_options

_ERRORS: Final = 3
"""ONNX Runtime's log level."""
_DEFAULT_ENTRIES: Final[Mapping[str, str]] = {
    # Threads that spin while they wait take the CPU from the loop and from the other models.
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}
_RECORD_NODES: Final = ("session.record_ep_graph_assignment_info", "1")
_NAMED_NODES: Final = 8


@dataclass(frozen=True, slots=True)
class StartedSession:
    """ONNX Runtime's session, and what is to be said of it."""

    session: Any
    notes: tuple[str, ...] = ()
    """Providers that were left out, nodes that do not run where they were meant to."""


def start_session(path: Path, config: SessionConfig, threads: int, profile: Path | None) -> StartedSession:
    """Raises LoadFailed: for a file that is none, a provider that cannot be had, and whatever ONNX Runtime
    says of the model."""
    _check_regular(path)
    available = onnxruntime.get_available_providers()
    choices = resolve(config.providers, config.require_provider, available, fallback=config.provider_fallback)
    asked = [entry if isinstance(entry, str) else next(iter(entry)) for entry in config.providers]
    options = _options(config, threads, profile)
    if asked[0] != CPU:
        options.add_session_config_entry(*_RECORD_NODES)
    session, started = _on_first_that_starts(path, config, options, choices)
    in_use = [choice.name for choice in started]
    notes = []
    if left_out := [name for name in asked if name not in in_use]:
        notes.append(
            f"provider {', '.join(left_out)} cannot be had here, so it runs on {', '.join(in_use)} "
            "(provider_fallback: next)"
        )
    if in_use[0] != CPU and (on_cpu := _nodes_on_cpu(session)):
        notes.append(_cpu_nodes(on_cpu, in_use[0]))
    return StartedSession(session, tuple(notes))


def _on_first_that_starts(
    path: Path, config: SessionConfig, options: Any, choices: Sequence[ProviderChoice]
) -> tuple[Any, Sequence[ProviderChoice]]:
    """The session, and which of the choices it runs on: all, or with the fallback those that start."""
    while True:
        failure: LoadFailed | None = None
        missing = [choices[0].name]
        try:
            session = _create(path, options, choices)
        except LoadFailed as error:
            failure = error  # a fault of the model's comes again with the next
        else:
            missing = not_started(choices, session.get_providers())
            if not missing:
                return session, choices
        rest = [choice for choice in choices if choice.name not in missing]
        if config.provider_fallback == "error" or not rest or config.require_provider in missing:
            if failure is not None:
                raise failure
            check_active(choices, session.get_providers())
        choices = rest


def _create(path: Path, options: Any, choices: Sequence[ProviderChoice]) -> Any:
    try:
        return onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[(choice.name, dict(choice.options)) for choice in choices],
            enable_fallback=0,  # else a provider that fails is replaced by the CPU with a print
        )
    except Exception as error:  # whatever it raises: its classes share no base but Exception
        raise ort_errors.load_failure(error, path) from error


def _nodes_on_cpu(session: Any) -> list[str]:
    """Nodes of the optimised graph, by name and operator; none where this ONNX Runtime does not say."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return []
    return [
        f"{node.name or 'unnamed'} ({node.op_type})"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == CPU
        for node in part.get_nodes()
    ]


def _cpu_nodes(nodes: Sequence[str], provider: str) -> str:
    named = ", ".join(nodes[:_NAMED_NODES])
    more = f" and {len(nodes) - _NAMED_NODES} more" if len(nodes) > _NAMED_NODES else ""
    return (
        f"{len(nodes)} nodes run on {CPU} and not on {provider}: {named}{more}; "
        "the placement report says what they cost"
    )


def _check_regular(path: Path) -> None:
    """Opening anything but a regular file can block for ever (a FIFO) or says nothing useful."""
    try:
        status = path.stat()
    except OSError as error:
        raise LoadFailed(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise LoadFailed(f"{path.name} is {kind}; expected an ONNX model file")
    if status.st_size == 0:
        raise LoadFailed(f"{path.name} is empty")


def _options(config: SessionConfig, threads: int, profile: Path | None) -> Any:
    """Both pool sizes are always set: left alone, each session takes the machine's cores, quota or not."""
    check_options(config.options)
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.intra_op_threads or threads
    options.inter_op_num_threads = config.inter_op_threads
    options.execution_mode = {
        "sequential": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
        "parallel": onnxruntime.ExecutionMode.ORT_PARALLEL,
    }[config.execution_mode]
    options.graph_optimization_level = {
        "disable": levels.ORT_DISABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "all": levels.ORT_ENABLE_ALL,
    }[config.graph_optimization]
    options.enable_cpu_mem_arena = config.memory_arena
    options.enable_mem_pattern = config.memory_pattern
    options.log_severity_level = _ERRORS  # what a provider says when its libraries are missing
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "profile")
    for key, value in {**_DEFAULT_ENTRIES, **config.options}.items():
        options.add_session_config_entry(key, value)
    return options
