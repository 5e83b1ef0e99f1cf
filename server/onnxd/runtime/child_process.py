"""What all child processes of the server have in common: how they are started, and how their deaths read."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from typing import Final

_KEPT_VARIABLES: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH"})
_KEPT_PREFIXES: Final = ("PYTHON", "CUDA_", "NVIDIA_", "ORT_", "OMP_", "MALLOC_")
_ERROR_BYTES: Final = 64 * 2**10


class ErrorPipe:
    """A child's standard error, of which the parent reads what the pipe holds.

    What comes when it is full is dropped, instead of blocking the child: bounded, and no task has to drain
    it.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self.write_end, False)

    def given(self) -> None:
        """The child has its end now, or never will."""
        os.close(self.write_end)

    def take(self) -> str:
        """What it has written since the last call; at most the pipe's size, and nothing after `close`."""
        if self._read_end < 0:
            return ""
        try:
            return os.read(self._read_end, _ERROR_BYTES).decode(errors="replace")
        except BlockingIOError:
            return ""

    def close(self) -> None:
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1


async def spawn(
    module: str,
    *arguments: str,
    errors: ErrorPipe,
    piped: bool = False,
    inherited: Iterable[int] = (),
) -> asyncio.subprocess.Process:
    """Starts `python -m module PARENT_PID arguments...` and takes its standard error.

    `piped`: its standard input and output are pipes to here; else it has no input, and its output goes where
    its errors go. `inherited` are descriptors that it has under the same numbers. Call it on the loop's
    thread: a child that dies with its parent dies with the thread that started it.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            str(os.getpid()),
            *arguments,
            stdin=pipe if piped else asyncio.subprocess.DEVNULL,
            stdout=pipe if piped else errors.write_end,
            stderr=errors.write_end,
            env=child_environment(os.environ),
            pass_fds=tuple(inherited),
        )
    except BaseException:
        errors.close()
        raise
    finally:
        errors.given()


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a child needs of it. Not the rest: it may hold secrets, and the child runs strangers' files."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, "ORT_DISABLE_TELEMETRY": "1"}


def cause_of_death(code: int, last_words: str, memory_bytes: int) -> str:
    """A sentence from an exit code as subprocess gives it (negative = a signal) and the standard error."""
    if "bad_alloc" in last_words:
        return out_of_memory(memory_bytes)
    if code < 0:
        hint = ", as the system does when memory runs out," if code == -signal.SIGKILL else ""
        return f"its process was killed by signal {-code} ({signal_name(code)}){hint}"
    return f"its process ended with exit code {code}"


def signal_name(code: int) -> str:
    """Of the signal that a negative exit code stands for."""
    return signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"


def out_of_memory(memory_bytes: int) -> str:
    if memory_bytes < 0:
        return "it ran out of memory"
    return f"it ran out of its memory limit of {memory_bytes / 2**20:g} MiB"
