"""One place where one batch can run at a time: a session, its thread, and the rule where a run happens."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Protocol, Self

from onnxd.errors import ExecutionFailed
from onnxd.runtime.placement import Placement, Placements, size_of
from onnxd.tensors import Array

_LOG: Final = logging.getLogger(__name__)
_STOP_STEP_S: Final = 0.05


class Session(Protocol):
    """What an Instance runs; OnnxSession is one."""

    @property
    def on_cpu(self) -> bool: ...

    def run(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]: ...

    def terminate(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class RunOutcome:
    """How one run ended: outputs or an error, never both. Not changed once made: to have that enforced would
    take as long as making it three times."""

    outputs: Mapping[str, Array] | None
    error: Exception | None
    start_ns: int
    """time.monotonic_ns() on the thread that ran it."""
    end_ns: int


Done = Callable[[RunOutcome], None]


@dataclass(slots=True, eq=False)
class _Job:
    """A run on the thread."""

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    done: Done
    size: int
    unwanted: bool = False
    """It is to end early, or not to begin. Set on the loop's thread, and looked at on the other."""


class Instance:
    """Runs a session for the scheduler: inline on the loop while runs are short, else on its own thread.

    Owns the session: leaving the context ends the thread, then closes the session. All methods belong to the
    loop's thread.
    """

    def __init__(
        self,
        session: Session,
        *,
        name: str,
        loop: asyncio.AbstractEventLoop,
        expected_run_s: float | None = None,
        forced: Placement | None = None,
        stop_timeout_s: float = 10.0,
    ) -> None:
        """`name` labels the thread. `expected_run_s` is what a trial measured; without it the first runs are
        on the thread. `forced` switches the rule off. `stop_timeout_s` bounds the wait for a run in progress.
        """
        self._session = session
        self._name = name
        self._loop = loop
        self._stop_timeout_s = stop_timeout_s
        self._placements = Placements(expected_run_s, forced)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._job: _Job | None = None
        """On its way to the thread, there, or on its way back."""
        self._thread = threading.Thread(target=self._work, name=f"onnxd-{name}")

    @property
    def placement(self) -> Placement:
        """Where the newest run happens; of another size, the next may be elsewhere."""
        return self._placements.newest

    @property
    def broken(self) -> str:
        """Never: what could end it ends the server."""
        return ""

    @property
    def apart_bytes(self) -> int:
        """It has no memory but the server's."""
        return 0

    @property
    def mean_run_s(self) -> float | None:
        """Moving mean of runs of the size that ran last; None before the first."""
        return self._placements.mean_s

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jobs.put(None)
        # Joining and dropping a large session both block, so neither happens on the loop.
        await asyncio.to_thread(self._stop)
        self._job = None

    def start(self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Done) -> None:
        """Runs once and calls `done` once, on the loop's thread; before this returns when the run is inline.

        Never called while a previous run has not called `done`. Does not raise: a failure is an outcome.
        """
        size = size_of(inputs)
        if self._placements.where(size) is Placement.INLINE:
            outcome = _run(self._session, inputs, outputs)
            self._finish(done, outcome, size, (outcome.end_ns - outcome.start_ns) * 1e-9)
        else:
            self._job = _Job(inputs, outputs, done, size)
            self._jobs.put(self._job)

    def terminate(self) -> None:
        """Asks the run in progress to end early; its `done` is still called. No effect when idle.

        One that the thread has not begun is not run. What the thread begins at this very moment may not be
        known to the session yet, and so the session is asked until it is over.
        """
        self._session.terminate()
        if self._job is not None and not self._job.unwanted:
            self._job.unwanted = True
            self._loop.call_later(_STOP_STEP_S, self._terminate_again, self._job)

    def _terminate_again(self, job: _Job) -> None:
        if self._job is job:
            self._session.terminate()
            self._loop.call_later(_STOP_STEP_S, self._terminate_again, job)

    def _work(self) -> None:
        """The thread: one wake-up of the loop for each run."""
        while (job := self._jobs.get()) is not None:
            cpu_start_ns = time.thread_time_ns()
            outcome = _not_begun() if job.unwanted else _run(self._session, job.inputs, job.outputs)
            busy_ns = outcome.end_ns - outcome.start_ns
            if self._session.on_cpu:
                # Without the wait to have the interpreter back, which would keep a short run here for ever
                # under load. A thread that waits for a device uses no CPU, so there the clock counts.
                busy_ns = min(busy_ns, time.thread_time_ns() - cpu_start_ns)
            self._loop.call_soon_threadsafe(self._finish, job.done, outcome, job.size, busy_ns * 1e-9)
            del job, outcome  # or they would live until the next run

    def _finish(self, done: Done, outcome: RunOutcome, size: int, busy_s: float) -> None:
        self._job = None
        if outcome.error is None:  # a run that failed early says nothing of how long they take
            self._placements.ran(size, busy_s)
        done(outcome)

    def _stop(self) -> None:
        deadline_s = time.monotonic() + self._stop_timeout_s
        while self._thread.is_alive() and time.monotonic() < deadline_s:
            self._session.terminate()  # again, for a run that had not begun the last time
            self._thread.join(_STOP_STEP_S)
        if self._thread.is_alive():
            _LOG.warning("the run of %s did not end in %g s; left behind", self._name, self._stop_timeout_s)
        self._session.close()


def _not_begun() -> RunOutcome:
    now_ns = time.monotonic_ns()
    return RunOutcome(None, ExecutionFailed("the run was ended before it had begun"), now_ns, now_ns)


def _run(session: Session, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> RunOutcome:
    start_ns = time.monotonic_ns()
    try:
        results = session.run(inputs, outputs)
    except Exception as error:  # the caller waits for an outcome: what is not a ServerError is a bug it shows
        return RunOutcome(None, error, start_ns, time.monotonic_ns())
    return RunOutcome(results, None, start_ns, time.monotonic_ns())
