"""A thread that writes in bulk what others have put down: for those who must not wait for a disk or a log."""

import threading
from collections.abc import Callable


class BulkThread:
    """Calls `write` a moment after it is told that there is something, so that more comes along with it."""

    def __init__(
        self,
        write: Callable[[], None],
        *,
        collect_s: float,
        name: str,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        """`write` takes all that is there; what it raises ends the thread. `end` follows the last time."""
        self._write = write
        self._end = end
        self._collect_s = collect_s
        self.idle = True
        """Whether it waits to be told."""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self) -> None:
        """There is something to write. Nearly free where it has been told already."""
        if self.idle:
            self.idle = False
            self._wake.set()

    def try_again(self, pause_s: float) -> None:
        """From `write`, which could not: call it again after a pause; the end of the thread cuts it short."""
        self._wake.set()
        self._closing.wait(pause_s)

    def stop(self, timeout_s: float | None = None) -> None:
        """Write what is there, and end; do not wait for that any longer than this."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(self._collect_s)
            self.idle = True
            self._write()
        self._write()
        self._end()
