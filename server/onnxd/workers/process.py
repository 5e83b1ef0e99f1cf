"""The processes of the workers, seen from the supervisor: forked in a nursery, and how their ends read."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from onnxd.runtime.child_process import signal_name
from onnxd.telemetry.observation import WORKER_ENDS
from onnxd.workers.nursery import MOST_BYTES, Forked

_FORK_S: Final = 60.0
"""The first one waits for the imports."""


@dataclass(frozen=True, slots=True)
class End:
    """How a worker has ended."""

    kind: str
    """One of WORKER_ENDS."""
    text: str
    """A sentence."""
    its_own: bool = True
    """Whether it was this worker that failed."""


class WorkerProcess:
    """A worker that is running, or has ended."""

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid
        self.code: Final[asyncio.Future[int | None]] = asyncio.get_running_loop().create_future()
        """Its exit code (negative = a signal), once it has ended; None = its nursery ended, and it too."""
        self._killed: End | None = None

    def kill(self, kind: str, text: str) -> None:
        """`kind`: what its end counts as; `text`: how it reads."""
        if not self.code.done():
            self._killed = self._killed or End(kind, text)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def end(self) -> End:
        """Wait for it."""
        code = await asyncio.shield(self.code)
        if self._killed is not None:
            return self._killed
        if code is None:
            return End("other", "the process that it was forked from has ended", its_own=False)
        if code == 0:
            return End("drained", "it was told to end by a signal, and has drained")
        if code < 0:
            name = signal_name(code)
            hint = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
            return End(name if name in WORKER_ENDS else "other", f"it was killed by {name}{hint}")
        return End("exit", f"it ended with exit code {code}")


class Nursery:
    """Where workers come from. An async context manager; leaving it ends it, and every worker with it."""

    def __init__(self, inherited: Iterable[int], forked: Forked | None = None) -> None:
        """`inherited`: descriptors that every worker has under the same numbers. `forked`: the first one;
        None = it is started when it is needed, as is any after it."""
        self._inherited = tuple(inherited)
        self._forked = forked
        self._orders: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._forking: dict[int, asyncio.Future[WorkerProcess]] = {}
        self._workers: dict[int, WorkerProcess] = {}

    async def __aenter__(self) -> Self:
        if self._forked is not None:
            self._listen(self._forked.orders)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._lose()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._forked is not None:
            self._lose()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._forked.pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, self._forked.pid, 0)

    async def fork(self, number: int, channel: socket.socket) -> WorkerProcess:
        """A new worker, with its end of a channel. Raises OSError, TimeoutError."""
        async with self._starting:
            orders = self._orders or await self._start()
        forked: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._forking[number] = forked
        try:
            socket.send_fds(orders, [json.dumps({"number": number}).encode()], [channel.fileno()])
            async with asyncio.timeout(_FORK_S):
                return await forked
        finally:
            self._forking.pop(number, None)

    def close_inherited(self) -> None:
        """No more workers are needed: what they would have inherited is given up."""
        if self._orders is not None:
            with contextlib.suppress(OSError):
                self._orders.send(json.dumps({"close": self._inherited}).encode())

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # On the loop's thread: a child that dies with its parent dies with the thread that started it.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "onnxd.workers.nursery",
                str(os.getpid()),
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *self._inherited),
            )
        self._listen(ours)
        return ours

    def _listen(self, orders: socket.socket) -> None:
        self._orders = orders
        orders.setblocking(False)
        asyncio.get_running_loop().add_reader(orders.fileno(), self._read)

    def _read(self) -> None:
        if self._orders is None:
            return
        try:
            data = self._orders.recv(MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        said = json.loads(data)
        if "number" in said:
            worker = self._workers[said["pid"]] = WorkerProcess(said["pid"])
            forked = self._forking.get(said["number"])
            if forked is not None and not forked.done():
                forked.set_result(worker)
            else:
                worker.kill("other", "nobody waited for it any more")
        elif (ended := self._workers.pop(said["pid"], None)) is not None:
            ended.code.set_result(said["code"])

    def _lose(self) -> None:
        """It has ended, and its children with it."""
        orders, self._orders = self._orders, None
        if orders is not None:
            asyncio.get_running_loop().remove_reader(orders.fileno())
            orders.close()
        for worker in self._workers.values():
            worker.code.set_result(None)
        self._workers.clear()
        for forked in self._forking.values():
            if not forked.done():
                forked.set_exception(OSError("the process that workers are forked from has ended"))
