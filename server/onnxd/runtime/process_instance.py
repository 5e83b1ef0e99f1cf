"""One place where one batch can run at a time: a session in a process of its own.

What kills the process is the end of one run and of nobody else's: the next ones wait until it is back.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from onnxd.errors import ExecutionFailed, LoadFailed, ModelProcessDied, ModelUnavailable, TensorMismatch
from onnxd.runtime import exchange
from onnxd.runtime.deaths import Deaths
from onnxd.runtime.instance import Done, RunOutcome
from onnxd.runtime.memory import resident_bytes
from onnxd.runtime.parcel import size_of, unpack
from onnxd.runtime.placement import Placement
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.worker_messages import WorkerLoad, error_from_json
from onnxd.runtime.worker_process import Death, WorkerProcess
from onnxd.tensors import Array

_LOG: Final = logging.getLogger(__name__)
_COPIED_HERE_BYTES: Final = 2**20
"""More than this is copied on a thread, so that the loop goes on meanwhile."""
_AGAIN_AFTER_S: Final = 0.2
_UNREADABLE: Final = (KeyError, TypeError, ValueError, IndexError)

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Run:
    """What there is to run. `sent`: the process has it, and may die of it."""

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    done: Done
    start_ns: int
    sent: bool = False


class ProcessInstance:
    """Runs a session in a child for the scheduler, and replaces a child that dies.

    Owns the child: leaving the context ends it. All methods belong to the loop's thread, which never waits
    for the child.
    """

    def __init__(self, room: ProcessRoom, load: WorkerLoad, deaths: Deaths, *, name: str) -> None:
        """`deaths` are counted for all instances of the version together. `name` is how errors and the log
        name the model."""
        self._room = room
        self._load = load
        self._deaths = deaths
        self._name = name
        self._worker: WorkerProcess | None = None
        self._dying: WorkerProcess | None = None
        self._run: _Run | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._copier = ThreadPoolExecutor(1, thread_name_prefix=f"onnxd-copy-{name}")
        self._copying: asyncio.Future[Any] | None = None

    @property
    def placement(self) -> Placement:
        return Placement.PROCESS

    @property
    def broken(self) -> str:
        """Why nothing will run here any more; empty = it will."""
        return self._deaths.verdict

    @property
    def apart_bytes(self) -> int:
        """Resident memory of the child; 0 while there is none."""
        return 0 if self._worker is None else resident_bytes(self._worker.pid)

    async def __aenter__(self) -> Self:
        """Starts the child and warms it up. Raises LoadFailed."""
        self._room.join()
        try:
            self._take(await self._room.start(self._load))
        except BaseException:
            await self._room.leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        for worker in (self._dying, self._worker):
            if worker is not None:
                worker.on_end = lambda: None
                await self._let_go(worker)
        await self._room.leave()
        self._copier.shutdown()
        if self._run is not None:
            self._fail(self._run, ExecutionFailed("the run was ended before it had finished"))

    def start(self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Done) -> None:
        """Runs once and calls `done` once, on the loop's thread.

        Never called while a previous run has not called `done`. Does not raise: a failure is an outcome.
        While the child is being replaced, the run waits for the new one.
        """
        self._run = _Run(inputs, outputs, done, time.monotonic_ns())
        self._proceed()

    def terminate(self) -> None:
        """Asks the run in progress to end early; its `done` is still called. No effect when idle."""
        if self._worker is not None and self._run is not None and self._run.sent:
            self._worker.stop()

    # A run: to the child and back.

    def _proceed(self) -> None:
        """Gives the child what there is to run, as soon as there are both."""
        run, worker = self._run, self._worker
        if run is None:
            return
        if self.broken:
            self._fail(run, ModelUnavailable(f"model '{self._name}' {self.broken}"))
        elif worker is not None:
            self._copy(
                size_of(run.inputs),
                lambda: worker.compose({"outputs": list(run.outputs)}, run.inputs),
                lambda wake_up: self._send(worker, run, wake_up),
                lambda error: self._fail(run, _in_words(error, "inputs")),
            )

    def _send(self, worker: WorkerProcess, run: _Run, wake_up: bytes) -> None:
        if worker is self._worker:  # else it died meanwhile, and the next one will be given the run
            with contextlib.suppress(OSError):  # it has died, which the loop is about to be told
                worker.send(wake_up)
                run.sent = True

    def _answered(self, worker: WorkerProcess, document: dict[str, Any]) -> None:
        run = self._run
        if run is None or not run.sent:
            self._distrust(worker, "its process gave an answer that nobody waits for")
            return
        try:
            times = int(document["start_ns"]), int(document["end_ns"])
            if "error" in document:
                self._finish(run, RunOutcome(None, error_from_json(document["error"]), *times))
                return
            entries = document[exchange.TENSORS]
            size = sum(entry[4] for entry in entries)
        except _UNREADABLE as error:
            self._distrust(worker, f"its process gave an answer that cannot be read: {error}")
            return
        self._copy(
            size,
            lambda: unpack(entries, worker.answers, copy=True),
            lambda outputs: self._deliver(worker, run, RunOutcome(outputs, None, *times)),
            lambda error: self._undeliverable(worker, run, error),
        )

    def _distrust(self, worker: WorkerProcess, cause: str) -> None:
        """End a child that has lost its way. What it still says before it is dead is no answer either."""
        worker.on_answer = lambda document: None
        worker.kill(cause)

    def _deliver(self, worker: WorkerProcess, run: _Run, outcome: RunOutcome) -> None:
        worker.requests.give_back()
        worker.answers.give_back()
        self._finish(run, outcome)

    def _undeliverable(self, worker: WorkerProcess, run: _Run, error: BaseException) -> None:
        if isinstance(error, _UNREADABLE):
            self._distrust(worker, f"its process gave an answer that cannot be read: {error}")
        else:
            self._fail(run, _in_words(error, "outputs"))

    def _fail(self, run: _Run, error: Exception) -> None:
        self._finish(run, RunOutcome(None, error, run.start_ns, time.monotonic_ns()))

    def _finish(self, run: _Run, outcome: RunOutcome) -> None:
        if run is self._run:
            self._run = None
            run.done(outcome)

    def _copy(
        self,
        size: int,
        work: Callable[[], _T],
        then: Callable[[_T], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Does the work here or, when it is much, on the copier's thread, and then what is to follow."""
        if size <= _COPIED_HERE_BYTES:
            try:
                result = work()
            except Exception as error:  # whatever it is, the run has to end
                failed(error)
            else:
                then(result)
            return

        def copied(copying: asyncio.Future[_T]) -> None:
            self._copying = None
            error = copying.exception()
            if error is not None:
                failed(error)
            else:
                then(copying.result())

        copying = asyncio.get_running_loop().run_in_executor(self._copier, work)
        self._copying = copying
        copying.add_done_callback(copied)

    # A child: from its start to its death.

    def _take(self, worker: WorkerProcess) -> None:
        self._worker = worker
        worker.on_answer = partial(self._answered, worker)
        worker.on_end = partial(self._ended, worker)
        if worker.is_ending:
            self._ended(worker)
        else:
            self._proceed()

    def _ended(self, worker: WorkerProcess) -> None:
        self._worker, self._dying = None, worker
        self._recovery = self._room.supervise(self._recover(worker))

    async def _recover(self, worker: WorkerProcess) -> None:
        """From the death of one child to the next, or to the verdict that there is none."""
        try:
            death = await self._let_go(worker)
            self._count(death)
            if self._run is not None and self._run.sent:
                text = f"model '{self._name}' failed: {death.cause} while it ran the batch of this request"
                self._fail(self._run, ModelProcessDied(text))
            while not self.broken:
                try:
                    self._take(await self._room.start(self._load))
                except LoadFailed as error:
                    self._count(Death(error.message, "other"))
                    await asyncio.sleep(_AGAIN_AFTER_S)
                else:
                    return
        except Exception as bug:
            # Ours: this model stops, with its reason, and the others go on.
            _LOG.exception("the process of model %s cannot be replaced", self._name)
            self._deaths.verdict = f"stopped after an internal error ({type(bug).__name__}); load it again"
        self._proceed()

    async def _let_go(self, worker: WorkerProcess) -> Death:
        if self._copying is not None:
            await asyncio.wait([self._copying])
        death = await self._room.end(worker)
        self._dying = None
        return death

    def _count(self, death: Death) -> None:
        self._deaths.record(death, time.monotonic())
        if self.broken:
            _LOG.error("model %s %s", self._name, self.broken)
        else:
            _LOG.warning("model %s: %s; it is started again", self._name, death.cause)


def _in_words(error: BaseException, what: str) -> Exception:
    if isinstance(error, MemoryError):
        return ModelUnavailable(
            f"there is not enough memory to hand the {what} over to the model's process or back: {error}"
        )
    if isinstance(error, UnicodeError):
        return TensorMismatch("a BYTES element is not text that UTF-8 can hold")
    return error if isinstance(error, Exception) else RuntimeError(str(error))
