"""The server with a sampler in it: where its main thread spends its CPU time, by line.

Started like `python -m onnxd`, with SAMPLES in its environment: a file that SIGUSR2 has it write, as JSON.
What is written is from the last SIGUSR2 on; before the first nothing is sampled.

A timer of CPU time interrupts it, and the interpreter comes to the handler at its next call, return from a
call to C, or jump back, but not where a coroutine goes on. So on entry to a function what has passed was its
caller's, and at the first call of a coroutine that has gone on it was the loop's, which is C: polling, and
reading from sockets. A sample counts for the CPU time of the main thread since the last one; what the process
used besides is that of other threads.
"""

import dis
import json
import os
import signal
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from onnxd.__main__ import main

EVERY_S: Final = 0.001
LOOP: Final = "asyncio/runners.py"
_RESUME: Final = dis.opmap["RESUME"]


class Sampler:
    """CPU time by (file, line), of the main thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places: defaultdict[tuple[CodeType, int, int], int] = defaultdict(int)
        self._last_ns = self._process_ns = 0

    def listen(self) -> None:
        signal.signal(signal.SIGPROF, self._take)
        signal.signal(signal.SIGUSR2, self._write)

    def _take(self, _: int, frame: FrameType | None) -> None:
        now_ns = time.thread_time_ns()
        spent_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if frame is not None and frame.f_code.co_code[frame.f_lasti] == _RESUME:
            frame = frame.f_back
        if frame is not None:
            self._places[frame.f_code, frame.f_lasti, frame.f_lineno or 0] += spent_ns

    def _write(self, _: int, __: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        process_ns, self._process_ns = self._process_ns, time.process_time_ns()
        lines: defaultdict[tuple[str, int], int] = defaultdict(int)
        for (code, at, line), spent_ns in self._places.items():
            lines[(LOOP, 0) if has_gone_on(code, at) else (code.co_filename, line)] += spent_ns
        draft = self._file.with_suffix(".tmp")
        content = {
            "process_ns": self._process_ns - process_ns,
            "lines": [[*where, spent_ns] for where, spent_ns in lines.items()],
        }
        draft.write_text(json.dumps(content))
        draft.rename(self._file)
        self._places.clear()
        self._last_ns, self._process_ns = time.thread_time_ns(), time.process_time_ns()
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)


@cache
def has_gone_on(code: CodeType, at: int) -> bool:
    """Whether the instruction there is the first after an await where the interpreter looks for signals."""
    # `at` may lie in the caches behind the instruction.
    until_here = [each for each in dis.get_instructions(code) if each.offset <= at]
    for instruction in reversed(until_here[:-1]):
        if instruction.opname == "RESUME":
            return bool(instruction.arg and instruction.arg >= 2)
        if instruction.opname.startswith("CALL") or instruction.opname == "JUMP_BACKWARD":
            return False
    return False


if __name__ == "__main__":
    Sampler(Path(os.environ["SAMPLES"])).listen()
    main()
