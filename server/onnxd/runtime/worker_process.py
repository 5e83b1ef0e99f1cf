"""One process that a model runs in, seen from the server: spawn it, ask it, read its death."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from onnxd.errors import LoadFailed
from onnxd.runtime import exchange
from onnxd.runtime.child_process import ErrorPipe, cause_of_death, signal_name, spawn
from onnxd.runtime.shared_buffer import SharedBuffer, anonymous_file
from onnxd.runtime.worker_child import STOP_BYTES
from onnxd.runtime.worker_config import IsolationConfig
from onnxd.runtime.worker_messages import WorkerLoad, error_from_json, load_to_json
from onnxd.tensors import Array

_LOG: Final = logging.getLogger(__name__)

_END_WITHIN_S: Final = 5.0
DEATH_KINDS: Final = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV", "exit", "other")
"""Every kind of death there is, for counting."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended."""

    cause: str
    """A sentence."""
    kind: str
    """One of DEATH_KINDS."""


class WorkerProcess:
    """A running child. Belongs to one loop; asked one thing at a time.

    `on_answer` and `on_end` are whoever's it is, called on the loop: the document of an answer, and, once,
    that no more will come. Everything it holds is closed by `end`.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, errors: ErrorPipe, channel: socket.socket, stops: int,
        requests: SharedBuffer, answers: SharedBuffer, config: IsolationConfig,
    ) -> None:  # fmt: skip
        self.on_answer: Callable[[dict[str, Any]], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None
        self.requests: Final = requests
        self.answers: Final = answers
        self._process = process
        self._errors = errors
        self._channel = channel
        self._stops = stops
        self._config = config
        self._number = 0
        self._received = b""
        self._killed_because = ""
        self.is_ending = False
        """`on_end` has been called, or would have been."""
        self._death: Death | None = None

    @classmethod
    async def spawn(cls, config: IsolationConfig) -> "WorkerProcess":
        """Starts a child; it is importing when this returns. Raises OSError."""
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            read_end, write_end = os.pipe()
            undo.callback(os.close, write_end)
            requests = SharedBuffer(anonymous_file(), writable=True, limit_bytes=config.transfer)
            undo.callback(requests.close)
            # To be written to by the child alone; from here its memory is only given back.
            answers = SharedBuffer(anonymous_file(), writable=True, limit_bytes=config.transfer)
            undo.callback(answers.close)
            inherited = (theirs.fileno(), read_end, requests.descriptor, answers.descriptor)
            errors = ErrorPipe()
            try:
                process = await spawn(
                    "onnxd.runtime.worker_child",
                    *map(str, (*inherited, config.transfer)),
                    errors=errors,
                    inherited=inherited,
                )
            finally:
                theirs.close()
                os.close(read_end)
            undo.pop_all()
        ours.setblocking(False)
        os.set_blocking(write_end, False)
        worker = cls(process, errors, ours, write_end, requests, answers, config)
        asyncio.get_running_loop().add_reader(ours.fileno(), worker._read)
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def load(self, load: WorkerLoad) -> None:
        """Has it build the session and warm up. Raises LoadFailed; then it is to be ended."""
        answered: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()

        def settle(document: dict[str, Any] | None) -> None:
            if not answered.done():
                answered.set_result(document)

        self.on_answer, self.on_end = settle, lambda: settle(None)
        name = load.model.path.name
        try:
            async with asyncio.timeout(self._config.start):
                self.send(self.compose(load_to_json(load, self._config.memory), {}))
                document = await answered
        except TimeoutError as error:
            limit = f"{self._config.start:g} s (isolation.start)"
            raise LoadFailed(f"{name}: its process took longer to start than the limit of {limit}") from error
        except MemoryError as error:
            raise LoadFailed(f"{name}: {error}") from error
        except OSError:
            document = None
        if document is None:
            death = await self.end()
            raise LoadFailed(f"{name}: {death.cause} while starting")
        if "error" in document:
            fault = error_from_json(document["error"])
            if isinstance(fault, LoadFailed):
                raise fault
            raise LoadFailed(f"{name}: its process could not start it: {fault}") from fault

    def compose(self, document: Mapping[str, Any], tensors: Mapping[str, Array]) -> bytes:
        """Puts what it is to be asked into shared memory; `send` what this returns. Not while an answer is
        to come. Raises MemoryError, UnicodeError."""
        self._number += 1
        return exchange.write(self.requests, self._number, document, tensors)

    def send(self, wake_up: bytes) -> None:
        """Asks it. Raises OSError when it has ended: then it has not been asked."""
        self._channel.send(wake_up)

    def stop(self) -> None:
        """Has the run in progress end early. No effect on another one, or on none."""
        with contextlib.suppress(OSError):
            os.write(self._stops, self._number.to_bytes(STOP_BYTES, "little"))

    def kill(self, because: str = "") -> None:
        """`because` is a sentence for its death to give."""
        self._killed_because = self._killed_because or because
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> Death:
        """Kills it unless it is ending by itself, waits for that, and closes everything. How it ended."""
        if self._death is None:
            self._stop_reading()
            if not self.is_ending:
                self.kill()
            await self._wait()
        if self._death is None:  # or whoever called this at the same time has been faster
            self._death = self._read_death()
            self._channel.close()
            os.close(self._stops)
            self.requests.close()
            self.answers.close()
            self._errors.close()
        return self._death

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self.kill("its process let go of the server and went on")
            await self._process.wait()

    def _read(self) -> None:
        try:
            received = self._channel.recv(exchange.WAKE_UP_BYTES - len(self._received))
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.is_ending = True
            self._stop_reading()
            self.on_end()
            return
        self._received += received
        if len(self._received) < exchange.WAKE_UP_BYTES:
            return
        wake_up, self._received = self._received, b""
        try:
            number, document = exchange.read(self.answers, wake_up)
        except exchange.Unreadable as fault:
            self.kill(f"its process gave an answer that cannot be read: {fault}")
            return
        if number == self._number:
            self.on_answer(document)
        else:
            self.kill("its process gave an answer that nobody waits for")

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._channel.fileno())

    def _read_death(self) -> Death:
        code = self._process.returncode or 0
        last_words = self._errors.take()
        if last_words:
            _LOG.warning("a model's process wrote before its end: %s", last_words)
        name = signal_name(code) if code < 0 else "exit"
        kind = name if name in DEATH_KINDS else "other"
        return Death(self._killed_because or cause_of_death(code, last_words, self._config.memory), kind)
