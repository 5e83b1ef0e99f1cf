"""Reading JSON without stopping the loop, however large it is and whatever is in it.

Parsing holds the interpreter's lock from the first byte to the last, on whatever thread it runs: 64 MiB of
numbers stop the loop for a second. So large texts are read in a process of their own, one at a time. It is
also the one that the system ends first when memory runs out: small objects take thirty times their text.
"""

import asyncio
import contextlib
import os
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar, cast

from onnxd.errors import Unavailable
from onnxd.http_frontend.json_child import LENGTH_BYTES
from onnxd.http_frontend.offload import by_size
from onnxd.protocol.json_text import check_json_size
from onnxd.protocol.limits import ProtocolLimits
from onnxd.runtime.child_process import child_environment

_P = ParamSpec("_P")
_T = TypeVar("_T")

IN_PROCESS_BYTES: Final = 2**19
"""Up to this size the lock is held for milliseconds, and a thread of this process is quicker."""
_TIMEOUT_S: Final = 60.0
_IDLE_S: Final = 60.0
_PIECE_BYTES: Final = 2**18


class JsonProcess:
    """Calls pure functions on large texts elsewhere. The process is started when it is first needed, and
    ended when it has been idle, or by `close`."""

    def __init__(
        self, limits: ProtocolLimits, *, in_process_bytes: int = IN_PROCESS_BYTES, idle_s: float = _IDLE_S
    ) -> None:
        self._limits = limits
        self._in_process_bytes = in_process_bytes
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.calls = 0
        """Texts that were read in the process."""

    @property
    def pid(self) -> int | None:
        """None = it does not run."""
        return None if self._process is None else self._process.pid

    async def close(self) -> None:
        """End the process. A text that is being read fails."""
        await self._end()

    async def by_size(self, size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function that reads a text of `size` bytes: here, on a thread, or in the process.

        Raises what it raises, PayloadTooLarge, and Unavailable when the process died or was too slow.
        """
        if size <= self._in_process_bytes:
            return await by_size(size, work, *args, **kwargs)
        check_json_size(size, self._limits)
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._turn:
                outcome = await self._ask((work, args, kwargs))
        except TimeoutError as error:
            raise Unavailable(
                f"the JSON could not be read within {_TIMEOUT_S:g} s; send large tensors as binary data",
                retry_after_s=1.0,
            ) from error
        if isinstance(outcome, Exception):
            raise outcome
        return cast(_T, outcome)

    async def _ask(self, call: tuple[Any, ...]) -> Any:
        if self._expiry is not None:
            self._expiry.cancel()
        message = await asyncio.to_thread(pickle.dumps, call, 5)
        for fresh in (False, True):
            try:
                outcome = await _exchange(await self._running(), message)
                break
            except (OSError, asyncio.IncompleteReadError) as error:
                await self._end()
                if fresh:
                    raise Unavailable(
                        "the process that reads large JSON has ended, perhaps for lack of memory; try again, "
                        "or send large tensors as binary data",
                        retry_after_s=1.0,
                    ) from error
            except BaseException:
                await self._end()  # it may still be at work on what nobody waits for any more
                raise
        self.calls += 1
        self._expiry = asyncio.get_running_loop().call_later(self._idle_s, self._expire)
        return outcome

    async def _running(self) -> Process:
        process = self._process
        if process is not None and (process.returncode is not None or _is_closing(process)):
            await self._end()
            process = None
        if process is None:
            process = self._process = await _spawn()
        return process

    def _expire(self) -> None:
        """Ask it to end; it does when its input ends."""
        if self._process is not None and self._process.stdin is not None and not self._turn.locked():
            self._process.stdin.close()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if self._expiry is not None:
            self._expiry.cancel()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def _spawn() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "onnxd.http_frontend.json_child", str(os.getpid()),
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=child_environment(os.environ),
    )  # fmt: skip


def _is_closing(process: Process) -> bool:
    return process.stdin is None or process.stdin.is_closing()


async def _exchange(process: Process, call: bytes) -> Any:
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise BrokenPipeError
    stdin.write(len(call).to_bytes(LENGTH_BYTES, "big"))
    # In pieces, so that no copy of all of it is made at once, and the loop turns between two.
    for start in range(0, len(call), _PIECE_BYTES):
        stdin.write(memoryview(call)[start : start + _PIECE_BYTES])
        await stdin.drain()
    head = await _part(stdout)
    count, document = int.from_bytes(head[:LENGTH_BYTES], "big"), memoryview(head)[LENGTH_BYTES:]
    arrays = [await _part(stdout) for _ in range(count)]
    return pickle.loads(document, buffers=arrays)  # noqa: S301 -- from a process that runs our code alone


async def _part(stream: asyncio.StreamReader) -> bytearray:
    length = int.from_bytes(await stream.readexactly(LENGTH_BYTES), "big")
    part = bytearray(length)
    at = 0
    while at < length:
        piece = await stream.read(min(_PIECE_BYTES, length - at))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        part[at : at + len(piece)] = piece
        at += len(piece)
    return part
