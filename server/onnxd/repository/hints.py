"""Notices from the kernel that something has changed: welcome when they come, never relied upon."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import structlog
from watchfiles._rust_notify import RustNotify

from onnxd.repository.tree import Directory, ignored

_log = structlog.get_logger(__name__)

_GATHER_MS = 200
"""Changes that follow one another within this time make one notice."""
_STEP_MS = 50


class Hints(Protocol):
    """A source of notices."""

    async def run(self, roots: Sequence[Path], notice: Callable[[], None]) -> None:
        """Call `notice` on the loop's thread after a change in a watched directory, when a root itself
        comes, goes or is relinked, and when new watches are in place: what changed before them went unseen.
        Runs until cancelled; does not raise for what the kernel refuses."""

    def watch(self, directories: frozenset[Directory]) -> None:
        """Watch these from now on, instead of those before."""


class KernelHints:
    """Notices by `watchfiles` (inotify, FSEvents).

    Each directory is watched for itself: a recursive watch does not follow a link that is swapped later.
    A watch holds on to a directory, not to its path, so a directory that was made anew is watched anew.
    """

    def __init__(self) -> None:
        self._directories: frozenset[Directory] = frozenset()
        self._rearm = asyncio.Event()
        self._stale = True
        """The watches are not set, or have ended with their directories, whatever `_directories` says."""
        self._warned = False

    def watch(self, directories: frozenset[Directory]) -> None:
        if directories != self._directories or self._stale:
            self._directories = directories
            self._stale = False
            self._rearm.set()

    async def run(self, roots: Sequence[Path], notice: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()

        def heard(stale: bool) -> None:
            self._stale = self._stale or stale
            notice()

        def heard_in_thread(stale: bool) -> None:
            loop.call_soon_threadsafe(heard, stale)

        while True:
            await self._rearm.wait()
            self._rearm.clear()
            stop = threading.Event()
            async with asyncio.TaskGroup() as tasks:
                round_ = tasks.create_task(
                    self._round(_Interest(roots, self._directories), heard_in_thread, stop)
                )
                try:
                    await self._rearm.wait()
                finally:
                    stop.set()
                await round_

    async def _round(
        self, interest: "_Interest", heard: Callable[[bool], None], stop: threading.Event
    ) -> None:
        """Until `stop` is set, or the kernel refuses."""
        try:
            # In a thread from the first call on: setting a watch on a dead network mount blocks.
            await asyncio.to_thread(_listen, interest, heard, stop)
        except FileNotFoundError:
            # A directory went between the scan and now. The next scan sees it and asks for other watches.
            self._stale = True
        except (OSError, RuntimeError) as error:
            # There is no narrower class: watches used up (ENOSPC), instances used up (EMFILE), and whatever
            # else a file system or a sandbox answers. The scans go on either way.
            if not self._warned:
                self._warned = True
                _log.warning("no notices of file changes; relying on the regular scan", reason=str(error))


class _Interest:
    """Which paths are watched, and which changes in them count."""

    def __init__(self, roots: Sequence[Path], directories: Iterable[Directory]) -> None:
        self._roots = tuple(root.absolute() for root in roots)
        self._watched = {directory.path for directory in directories}
        self._root_names: set[str] = set()

    def resolve(self) -> list[str]:
        """The paths to watch. A root may be a link, or missing: its parent is watched for it. Blocking."""
        self._root_names = {os.path.join(os.path.realpath(root.parent), root.name) for root in self._roots}
        parents = {os.path.dirname(root) for root in self._root_names}
        return sorted(path for path in self._watched | parents if os.path.isdir(path))

    def renews(self, path: str) -> bool:
        """Whether the change is to a watched directory itself, whose watch may have ended with it."""
        return path in self._root_names or path in self._watched

    def counts(self, path: str) -> bool:
        """Whether a change there may be one of the repository's."""
        directory, name = os.path.split(path)
        return self.renews(path) or (
            directory in self._watched and (name.startswith("..") or not ignored(name))
        )


def _listen(interest: _Interest, heard: Callable[[bool], None], stop: threading.Event) -> None:
    paths = interest.resolve()
    if not paths:
        return
    # Not watchfiles.watch: it does not say when its watches are in place. This is its documented back end.
    with RustNotify(paths, False, False, 0, False, True) as kernel:
        heard(False)
        while not isinstance(changes := kernel.watch(_GATHER_MS, _STEP_MS, 0, stop), str):
            changed = [path for _, path in changes if interest.counts(path)]
            if changed:
                heard(any(interest.renews(path) for path in changed))
