"""Tasks that are used again: to make one costs more than to read a small request and to write its answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

Job = Coroutine[Any, Any, None]

_MOST_IDLE: Final = 512


class Worker:
    """A task, and the job that it is at. Jobs let no exception out but CancelledError."""

    __slots__ = ("_begun", "_cancelled", "_job", "_task", "_wanted", "_workers")

    def __init__(self, workers: "Workers") -> None:
        self._workers = workers
        self._wanted: asyncio.Future[None] | None = None
        self._job: Job | None = None
        self._begun = False
        self._cancelled = False
        self._task = workers.tasks.create_task(self._work())

    def take(self, job: Job) -> None:
        """Begin a job in the loop's next turn. Of one that is idle."""
        self._job = job
        if self._wanted is not None:
            self._wanted.set_result(None)

    def cancel(self, job: Job) -> None:
        """Cancel a job, if this worker is at it or about to be."""
        if self._job is not job:
            return
        if not self._begun:
            job.close()
            self._job = None
        elif not self._cancelled and asyncio.current_task() is not self._task:
            self._cancelled = True
            self._task.cancel()

    def stop(self) -> None:
        """End the task. Of one that is idle."""
        self._task.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._wanted is not None:
                await self._wanted
            if self._job is not None:
                self._begun = True
                try:
                    await self._job
                except asyncio.CancelledError:
                    if not self._cancelled:
                        raise
                if self._cancelled:
                    self._task.uncancel()
                self._job = None
                self._begun = self._cancelled = False
            self._wanted = loop.create_future()
            if not self._workers.take_back(self):
                return


class Workers:
    """As many as there are jobs at a time; some of them wait for the next."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self._idle: list[Worker] = []
        self._closed = False

    def run(self, job: Job) -> Worker:
        """Whoever is at it from the loop's next turn on."""
        worker = self._idle.pop() if self._idle else Worker(self)
        worker.take(job)
        return worker

    def take_back(self, worker: Worker) -> bool:
        """Whether it is kept for the next job."""
        if self._closed or len(self._idle) >= _MOST_IDLE:
            return False
        self._idle.append(worker)
        return True

    def close(self) -> None:
        """End those that are idle, and each other one after its job."""
        self._closed = True
        for worker in self._idle:
            worker.stop()
        self._idle.clear()
