"""The process of one worker: starting it, and how its end reads."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from onnxd.runtime.child_process import signal_name
from onnxd.telemetry.observation import WORKER_ENDS


@dataclass(frozen=True, slots=True)
class End:
    """How a worker has ended."""

    kind: str
    """One of WORKER_ENDS."""
    text: str
    """A sentence."""


class WorkerProcess:
    """A child that is running, or has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._killed: End | None = None

    @classmethod
    async def spawn(cls, number: int, channel: socket.socket, inherited: Iterable[int]) -> "WorkerProcess":
        """On the loop's thread: a child that dies with its parent dies with the thread that started it. It
        has our environment and standard error. Raises OSError."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "onnxd.workers.child",
                str(os.getpid()),
                str(channel.fileno()),
                str(number),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(channel.fileno(), *inherited),
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self, kind: str, text: str) -> None:
        """`kind`: what its end counts as; `text`: how it reads."""
        self._killed = self._killed or End(kind, text)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> End:
        """Wait for it."""
        code = await self._process.wait()
        if self._killed is not None:
            return self._killed
        if code == 0:
            return End("drained", "it was told to end by a signal, and has drained")
        if code < 0:
            name = signal_name(code)
            hint = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
            return End(name if name in WORKER_ENDS else "other", f"it was killed by {name}{hint}")
        return End("exit", f"it ended with exit code {code}")
