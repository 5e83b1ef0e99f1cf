"""The processes that models run in: starting them, and starting them again."""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Final, Self

from onnxd.errors import LoadFailed
from onnxd.runtime.worker_config import IsolationConfig
from onnxd.runtime.worker_messages import WorkerLoad
from onnxd.runtime.worker_process import Death, WorkerProcess

_LOG: Final = logging.getLogger(__name__)


class ProcessRoom:
    """Owns what supervises them. The instances that use it are closed before it is left.

    While there is an instance there is also a spare process, which has imported all that it needs: that is
    most of the time that a small model would be away for after a death.
    """

    def __init__(self, config: IsolationConfig | None = None) -> None:
        self._config = config or IsolationConfig()
        self._tasks = asyncio.TaskGroup()
        self._workers: set[WorkerProcess] = set()
        self._instances = 0
        self._spare: WorkerProcess | None = None
        self._restocking = False

    @property
    def pids(self) -> frozenset[int]:
        """Of the processes that run a model, or are about to."""
        return frozenset(worker.pid for worker in self._workers)

    @property
    def spare_pid(self) -> int | None:
        return None if self._spare is None else self._spare.pid

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in tuple(self._workers):
            await self.end(worker)
        await self._drop_spare()
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            # An error of the body is not the tasks': it goes on as it is, not inside a group.
            await self._tasks.__aexit__(None, None, None)

    async def start(self, load: WorkerLoad) -> WorkerProcess:
        """A process with the session built and warm; whoever has it ends it here. Raises LoadFailed."""
        try:
            worker = await self._take_spare() or await WorkerProcess.spawn(self._config)
        except OSError as error:
            name = load.model.path.name
            raise LoadFailed(f"{name}: no process could be started for it: {error.strerror}") from error
        self._workers.add(worker)
        try:
            await worker.load(load)
            await self._restock()
        except BaseException:
            await self.end(worker)
            raise
        return worker

    def join(self) -> None:
        """One more instance is open."""
        self._instances += 1

    async def leave(self) -> None:
        """One has been closed."""
        self._instances -= 1
        if not self._instances:
            await self._drop_spare()

    async def end(self, worker: WorkerProcess) -> Death:
        """Ends one, and closes what it holds. How it ended, also when that was before."""
        death = await worker.end()
        self._workers.discard(worker)
        return death

    def supervise(self, supervision: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs it for as long as the room is open."""
        return self._tasks.create_task(supervision)

    async def _restock(self) -> None:
        if self._spare is None and self._instances and not self._restocking:
            self._restocking = True
            try:
                self._spare = await WorkerProcess.spawn(self._config)
            except OSError as error:
                _LOG.warning("no spare process could be started: %s", error.strerror)
            finally:
                self._restocking = False
            if not self._instances:
                await self._drop_spare()

    async def _take_spare(self) -> WorkerProcess | None:
        spare, self._spare = self._spare, None
        if spare is not None and spare.is_ending:
            await spare.end()
            return None
        return spare

    async def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            await spare.end()
