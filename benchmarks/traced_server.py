"""The server with Python's memory traced, to see how often a tensor's bytes are held at once.

Started like `python -m onnxd`, with TRACED in its environment: a file that SIGUSR2 has it write. In it
are the most bytes that were allocated at one moment since the last SIGUSR2, above those at that time.
NumPy's arrays and Python's bytes are traced, ONNX Runtime's own memory is not.
"""

import os
import signal
import tracemalloc
from pathlib import Path
from types import FrameType

from onnxd.__main__ import main


class Watch:
    """The most bytes at one moment."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._base = 0

    def start(self) -> None:
        tracemalloc.start(1)
        signal.signal(signal.SIGUSR2, self._write)

    def _write(self, _: int, __: FrameType | None) -> None:
        now, peak = tracemalloc.get_traced_memory()
        draft = self._file.with_suffix(".tmp")
        draft.write_text(str(peak - self._base))
        draft.rename(self._file)
        tracemalloc.reset_peak()
        self._base = now


if __name__ == "__main__":
    Watch(Path(os.environ["TRACED"])).start()
    main()
