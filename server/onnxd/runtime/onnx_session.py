"""One ONNX Runtime session over one model file."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from onnxd.errors import LoadFailed, ModelUnavailable, TensorMismatch
from onnxd.runtime import ort_errors
from onnxd.runtime.arena import ArenaDiet
from onnxd.runtime.direct_run import SpareOptions, direct_run, run_options
from onnxd.runtime.graph import GraphSpec, describe
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.providers import CPU
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.session_start import StartedSession, start_session
from onnxd.tensors import Array, Datatype

_BFLOAT16: Final = 16
"""ONNX's number for the element type."""
_SHRINK: Final = ("memory.enable_memory_arena_shrinkage", "cpu:0")


class OnnxSession:
    """A loaded model. `open` makes one; whoever opened it closes it.

    `run` may be called from several threads at once; `close` only when no run is in progress.
    """

    def __init__(
        self,
        session: Any,
        graph: GraphSpec,
        *,
        diet: ArenaDiet | None = None,
        started: StartedSession | None = None,
    ) -> None:
        """`diet` None: there is no arena to shrink. `started`: how it came about, for the load's report."""
        self.graph = graph
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        """What the session really runs on, in order of preference."""
        self.notes: tuple[str, ...] = () if started is None else started.notes
        """What whoever loads it should know of where it runs, a line each."""
        self._session: Any = session
        self._direct = direct_run(session)
        self._spare = SpareOptions()
        self._diet = diet if self.on_cpu else None
        self._active: set[Any] = set()
        self._required = frozenset(tensor.name for tensor in graph.inputs)
        self._known = self._required.union(tensor.name for tensor in graph.optional)
        self._output_names = tuple(tensor.name for tensor in graph.outputs)
        self._bf16_inputs = _bf16_names(graph.inputs + graph.optional)
        self._bf16_outputs = _bf16_names(graph.outputs)
        self._bf16 = bool(self._bf16_inputs or self._bf16_outputs)

    @classmethod
    def open(
        cls, path: Path, config: SessionConfig, threads: int, profile: Path | None = None
    ) -> "OnnxSession":
        """Builds the session. Blocks, for seconds when the model is large.

        `threads` is the size of the intra-op pool where the config leaves it open (0); `profile` a directory
        for what `end_profiling` gives. Raises LoadFailed with a reason that holds no path of this machine. A
        crash inside ONNX Runtime takes the process along: a file is tried in a TrialRoom before the server
        opens it.
        """
        started = start_session(path, config, threads, profile)
        session = started.session
        graph = describe(
            session.get_inputs(), session.get_outputs(), session.get_overridable_initializers(), path
        )
        _check_bf16(graph)
        return cls(session, graph, diet=ArenaDiet() if config.memory_arena else None, started=started)

    @property
    def on_cpu(self) -> bool:
        """All the work of a run happens on the CPU."""
        return self.providers == (CPU,)

    def run(self, inputs: Mapping[str, Array], outputs: tuple[str, ...] = ()) -> dict[str, Array]:
        """Runs the model once; `outputs` names what to compute, in order, none = all of them.

        Inputs are C-contiguous and in native byte order (ONNX Runtime misreads others without a word),
        BYTES as object arrays of str. The arrays returned own their memory or share it with nobody.
        Raises TensorMismatch for inputs that the model does not take, ModelUnavailable when memory runs
        short, ExecutionFailed for anything else.
        """
        session = self._session
        if session is None:
            raise ModelUnavailable("the model has been unloaded")
        names = outputs or self._output_names
        if inputs.keys() != self._required and not self._required <= inputs.keys() <= self._known:
            raise self._name_mismatch(inputs)
        diet, shrinks = self._diet, False
        if diet is not None:
            taken_bytes = 0
            for array in inputs.values():
                taken_bytes += array.nbytes
            shrinks = diet.shrinks(taken_bytes)
        options = _shrinking() if shrinks else self._spare.take()
        self._active.add(options)
        try:
            if self._bf16:
                return self._run_bf16(session, inputs, names, options)
            results = self._direct(names, inputs, options)
        except Exception as error:  # its classes share no base but Exception
            raise ort_errors.run_failure(error) from error
        finally:
            self._active.discard(options)
            if not shrinks:
                self._spare.give_back(options)
        if diet is not None:
            given_bytes = 0
            for array in results:
                given_bytes += array.nbytes
            if given_bytes > diet.largest_bytes:
                diet.largest_bytes = given_bytes
        if len(results) == 1:
            return {names[0]: results[0]}  # for most models, and ten times as fast
        return dict(zip(names, results, strict=True))

    def terminate(self) -> None:
        """Asks every run in progress to end at its next node; they raise ExecutionFailed. From any thread."""
        for options in tuple(self._active):
            options.terminate = True

    def end_profiling(self) -> Path:
        """The profile of all runs so far, for a session that was opened with one. Once."""
        return Path(self._session.end_profiling())

    def close(self) -> None:
        """Drops the session; its memory is free once the last run has returned."""
        self._session = None
        self._direct = _unloaded

    def _run_bf16(
        self, session: Any, inputs: Mapping[str, Array], names: tuple[str, ...], options: Any
    ) -> dict[str, Array]:
        """ONNX Runtime refuses arrays of ml_dtypes, so BF16 goes in and out as values of its own."""
        feeds = {
            name: _bf16_value(array) if name in self._bf16_inputs else array for name, array in inputs.items()
        }
        if self._bf16_outputs.isdisjoint(names):
            return dict(zip(names, self._direct(names, feeds, options), strict=True))
        values = {name: _value(feed)._ortvalue for name, feed in feeds.items()}
        results = session._sess.run_with_ort_values(values, names, options)
        return {
            name: _bf16_array(value) if name in self._bf16_outputs else value.numpy()
            for name, value in zip(names, results, strict=True)
        }

    def _name_mismatch(self, inputs: Mapping[str, Array]) -> TensorMismatch:
        missing = sorted(self._required - inputs.keys())
        if missing:
            return TensorMismatch(f"input {', '.join(repr(name) for name in missing)} is missing")
        surplus = sorted(inputs.keys() - self._known)
        return TensorMismatch(
            f"the model has no input {', '.join(repr(name) for name in surplus)}; "
            f"it has {', '.join(repr(name) for name in sorted(self._known))}"
        )


def _shrinking() -> Any:
    options = run_options()
    options.add_run_config_entry(*_SHRINK)
    return options


def _unloaded(*_: Any) -> list[Array]:
    raise ModelUnavailable("the model has been unloaded")


def _bf16_names(tensors: tuple[Any, ...]) -> frozenset[str]:
    return frozenset(tensor.name for tensor in tensors if tensor.datatype is Datatype.BF16)


def _check_bf16(graph: GraphSpec) -> None:
    texts = [tensor.name for tensor in graph.inputs + graph.optional if tensor.datatype is Datatype.BYTES]
    bf16 = _bf16_names(graph.outputs)
    if texts and bf16:
        raise LoadFailed(
            f"input '{texts[0]}' is BYTES and output '{min(bf16)}' is BF16: ONNX Runtime's Python interface "
            "cannot run both in one model; cast the output to FP32 in the graph"
        )


def _bf16_value(array: Array) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view("uint16"), _BFLOAT16)


def _value(feed: Any) -> Any:
    return feed if isinstance(feed, onnxruntime.OrtValue) else onnxruntime.OrtValue.ortvalue_from_numpy(feed)


def _bf16_array(value: Any) -> Array:
    """A copy: the value's own memory dies with it."""
    array: Array = np.empty(value.shape(), Datatype.BF16.dtype)
    if array.nbytes:  # the pointer of an empty value is null
        ctypes.memmove(array.ctypes.data, value.data_ptr(), array.nbytes)
    return array
