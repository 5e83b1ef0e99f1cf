"""The call into ONNX Runtime, with the least around it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from onnxd.runtime.ort import onnxruntime
from onnxd.tensors import Array

DirectRun = Callable[[Sequence[str], Mapping[str, Array], Any], list[Array]]
"""Outputs by name, inputs, RunOptions -> the outputs in order."""

_FATAL: Final = 4
"""ONNX Runtime's log level."""


def direct_run(session: Any) -> DirectRun:
    """The method behind InferenceSession.run, without the wrapper's 1.5 µs (of 5 for a small graph) and its
    fallback to other providers. It is no public part of ONNX Runtime: where this version does not have it,
    the wrapper, which takes the same and gives the same.

    Measured beside it: inputs and outputs bound anew for each run take longer; bound once they spare 1 µs,
    but every input would be copied into a fixed place, and every output out of one.
    """
    method = getattr(getattr(session, "_sess", None), "run", None)
    found: DirectRun = method if callable(method) else session.run
    return found


class SpareOptions:
    """RunOptions for one run at a time each, used again: to make them takes a tenth of a small graph's run.

    Any thread may take and give back.
    """

    def __init__(self) -> None:
        self._spare: list[Any] = []

    def take(self) -> Any:
        """Some that nobody uses, and that do not ask a run to end."""
        try:
            options = self._spare.pop()
        except IndexError:
            return run_options()
        options.terminate = False  # it may have been asked of the last run when that was over
        return options

    def give_back(self, options: Any) -> None:
        """The run that had them is over."""
        self._spare.append(options)


def run_options() -> Any:
    """Of a run whose failure is an answer to its client, not a line in the log."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = _FATAL
    return options
