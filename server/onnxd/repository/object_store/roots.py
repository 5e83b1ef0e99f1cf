"""All repositories of a server: directories as they are, and copies of what lies in object stores.

settings -> RemoteRoots -> directories -> lifecycle, as ever
"""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from onnxd.repository.layout import ModelFiles, RepositorySnapshot, RootFiles, faulty, scan
from onnxd.repository.object_store.bucket import ObjectStorageUnavailable, RemoteBucket
from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.faults import StorageFault
from onnxd.repository.object_store.mirror import Mirror
from onnxd.repository.object_store.sync import Sync
from onnxd.repository.object_store.url import ObjectUrl, url_of
from onnxd.telemetry.observation import StorageObservation


class RemoteRoots:
    """An async context manager: what lies in object stores is kept up with while it is open."""

    def __init__(
        self,
        roots: Sequence[Path | str],
        config: ObjectStoreConfig,
        cache_dir: Path,
        *,
        single_model: str = "",
    ) -> None:
        """`roots`: as in the settings, directories or URLs. `cache_dir`: holds a copy for each URL."""
        self._given = tuple(roots)
        self._config = config
        self._cache_dir = cache_dir
        self._single_model = single_model
        self.syncs: Final[dict[Path, Sync]] = {}
        """Of those that lie in object stores, by their copies."""
        self._resources = AsyncExitStack()
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self.directories: Final = tuple(
            root if isinstance(root, Path) else _mirror_of(url, config, cache_dir)
            for root in self._given
            if (url := url_of(root)) is not None or isinstance(root, Path)
        )
        """What is watched, in the order of the settings."""

    async def __aenter__(self) -> Self:
        """Raises ObjectStorageUnavailable, StateDirectoryUnusable."""
        async with AsyncExitStack() as resources:
            for root, directory in zip(self._given, self.directories, strict=True):
                url = url_of(root)
                if url is None or directory in self.syncs:
                    continue
                try:
                    bucket = RemoteBucket(url, self._config)
                except StorageFault as fault:
                    raise ObjectStorageUnavailable(fault.message) from fault
                mirror = resources.enter_context(Mirror(directory))
                self.syncs[directory] = Sync(
                    url, bucket, mirror, self._config, single_model=self._single_model
                )
            self._resources = resources.pop_all()
        await self._tasks.__aenter__()
        for sync in self.syncs.values():
            self._running.append(self._tasks.create_task(sync.run(), name="object store"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        try:
            if isinstance(error, asyncio.CancelledError):
                await self._tasks.__aexit__(kind, error, traceback)
            else:
                await self._tasks.__aexit__(None, None, None)
        finally:
            await self._resources.aclose()

    async def arrived(self) -> None:
        """Wait until each repository has something to serve from, if only from before this start."""
        for sync in self.syncs.values():
            await sync.arrived.wait()

    def awaited(self) -> str:
        """What a repository that has not arrived waits for; empty = all have."""
        for sync in self.syncs.values():
            if not sync.arrived.is_set():
                return sync.trouble or "the first copy of a repository in an object store is being made"
        return ""

    def observe(self) -> tuple[StorageObservation, ...]:
        return tuple(sync.observe() for sync in self.syncs.values())

    def read(self, roots: Sequence[Path]) -> RepositorySnapshot:
        """As `scan`, and with what is known of models that are not here. Blocking; does not raise.

        A repository of which there is no copy yet cannot be read. A model of which there is none, because it
        waits or is refused, has that for its fault.
        """
        there = {root: sync for root in roots if (sync := self.syncs.get(root)) is not None}
        missing = [root for root, sync in there.items() if not sync.arrived.is_set()]
        snapshot = scan([root for root in roots if root not in missing], self._single_model)
        if not there:
            return snapshot
        states = dict(snapshot.roots)
        for root in missing:
            fault = there[root].trouble or "the first copy of it is being made"
            states[root] = RootFiles(root, None, fault, awaited=True)
        models = dict(snapshot.models)
        for root, sync in there.items():
            if root not in missing:
                for model in _absent(root, sync, models.keys()):
                    models[model.name] = model
        return replace(snapshot, models=dict(sorted(models.items())), roots=states)


def _absent(root: Path, sync: Sync, here: Iterable[str]) -> list[ModelFiles]:
    reasons = {**sync.waiting, **sync.refused}
    return [faulty(name, root, reasons[name]) for name in reasons.keys() - set(here)]


def _mirror_of(url: ObjectUrl | None, config: ObjectStoreConfig, cache_dir: Path) -> Path:
    """Another endpoint has other objects under the same name."""
    digest = hashlib.sha256(f"{url} {config.endpoint}".encode()).hexdigest()[:12]
    name = "" if url is None else f"{url.scheme}-{url.bucket}-"
    return cache_dir.absolute() / f"{name[:200]}{digest}"
