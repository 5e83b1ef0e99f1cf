"""One child process in which models run first, seen from the server: spawn it, ask it, read its death."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final, Self

from onnxd.errors import LoadFailed
from onnxd.runtime import framing
from onnxd.runtime.child_process import ErrorPipe, cause_of_death, spawn

_LOG: Final = logging.getLogger(__name__)

_END_WITHIN_S: Final = 5.0
_IDLE_PHASES: Final = frozenset({"", "waiting"})


class ChildGone(Exception):
    """The process had ended before it began with the request: not the model's fault."""


class TrialProcess:
    """A running child. Belongs to one loop; asked one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process, errors: ErrorPipe) -> None:
        self._process = process
        self._errors = errors
        self._phase = ""
        self._last_words = ""
        self.trials = 0
        """How many requests it has been given."""
        self.holds: PurePath | None = None
        """The file whose session it has kept from an inspection."""
        self.cause = ""
        """What it printed about a provider of that session."""

    @classmethod
    async def spawn(cls) -> Self:
        """Starts a child; it is importing when this returns."""
        errors = ErrorPipe()
        return cls(await spawn("onnxd.runtime.trial_child", errors=errors, piped=True), errors)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def phase(self) -> str:
        """What it said last that it was about to do."""
        return self._phase

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def ask(self, request: Mapping[str, Any], wall_s: float) -> dict[str, Any]:
        """Its last frame: a report or a refusal.

        Raises LoadFailed when it crashes, runs into its CPU limit or takes longer than `wall_s`, and
        ChildGone when it was dead before. The process is ended in all these cases, and on cancellation.
        """
        self.trials += 1
        self._phase = ""
        self.take_errors()
        try:
            async with asyncio.timeout(wall_s):
                return await self._exchange(request)
        except TimeoutError as error:
            self.kill()
            await self.end()
            raise LoadFailed(f"it took longer than the limit of {wall_s:g} s{self._when()}") from error
        except (OSError, framing.BrokenFrame) as error:
            raise await self._death(request) from error
        except BaseException:
            self.kill()  # whoever owns it still waits for its end
            raise

    def retire(self) -> None:
        """Lets it end by itself: it does when its input ends. No effect on one that has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Waits until it has ended, and kills it when that takes more than some seconds."""
        self.retire()
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await self._process.communicate()
        except TimeoutError:
            self.kill()
            await self._process.communicate()
        self._last_words = self.take_errors() or self._last_words
        self._errors.close()

    async def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise framing.BrokenFrame("the pipes are closed")
        stdin.write(framing.encode(request))
        await stdin.drain()
        while (frame := await framing.read_async(stdout)) is not None:
            if "phase" not in frame:
                return frame
            self._phase = str(frame["phase"])
        raise framing.BrokenFrame("it ended without an answer")

    async def _death(self, request: Mapping[str, Any]) -> Exception:
        await self.end()
        code = self._process.returncode or 0
        if self._last_words:
            _LOG.warning("a trial process wrote before its end: %s", self._last_words)
        if self._phase in _IDLE_PHASES and self.trials > 1:
            return ChildGone()
        return LoadFailed(
            cause(code, self._last_words, request["cpu_s"], request["memory_bytes"]) + self._when()
        )

    def _when(self) -> str:
        return " while starting" if self._phase in _IDLE_PHASES else f" while {self._phase}"

    def take_errors(self) -> str:
        """What it has written to its standard error since the last call; at most the pipe's size."""
        return self._errors.take()


def cause(code: int, last_words: str, cpu_s: float, memory_bytes: int) -> str:
    """Why it ended, as cause_of_death says it, with the limit that only trials have."""
    if code == -signal.SIGXCPU:
        return f"it used more than its limit of {cpu_s:g} s of CPU time"
    return cause_of_death(code, last_words, memory_bytes)
