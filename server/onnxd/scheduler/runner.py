"""What the scheduler needs from whatever runs a model: the seam between scheduling and the runtime."""

from collections.abc import Callable, Mapping
from typing import Protocol

from onnxd.tensors import Array


class RunResult(Protocol):
    """How one run ended: outputs or an error, never both."""

    @property
    def outputs(self) -> Mapping[str, Array] | None: ...

    @property
    def error(self) -> Exception | None:
        """A ServerError where the cause is known; anything else is our bug."""

    @property
    def start_ns(self) -> int:
        """time.monotonic_ns() when the run began, on whichever thread ran it."""

    @property
    def end_ns(self) -> int: ...


class Runner(Protocol):
    """One place where one batch can run at a time: a session on the loop, on a thread, in a process."""

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunResult], None]
    ) -> None:
        """Run the model once and call `done` exactly once, on the loop's thread.

        `done` may be called before `start` returns (an inline run). `outputs` names what to compute, in
        order. Never called while a previous run has not called `done`. Does not raise: a failure is a
        RunResult with an error.
        """

    def terminate(self) -> None:
        """Ask the run in progress to end early; its `done` is still called. No effect when idle."""
