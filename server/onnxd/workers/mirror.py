"""What serves in one worker: built as the supervisor says, and in its own catalog."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import Catalog
from onnxd.repository.examined_json import examined_from_json
from onnxd.repository.loader import Loader
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.served import ServedVersion
from onnxd.repository.store import SnapshotStore, StoredFiles
from onnxd.runtime.thread_shares import Claim, ThreadBudget
from onnxd.workers.channel import Document
from onnxd.workers.orders import ModelOrder, Prepare, states_from_json
from onnxd.workers.relay import from_json


class LentCopies(SnapshotStore):
    """The copies of files that the supervisor keeps for as long as they are needed here."""

    def hold(self, digest: str) -> StoredFiles:
        path = self._directory / digest
        files = (file for file in path.rglob("*") if file.is_file())
        return StoredFiles(path, digest, sum(file.stat().st_size for file in files))

    def release(self, stored: StoredFiles) -> None:
        return None


class DealtThreads(ThreadBudget):
    """As many threads as the supervisor says, for one version at a time."""

    dealt: int = 1

    @contextmanager
    def claim(self, model: str, claim: Claim, version: int = 1) -> Iterator[int]:
        with super().claim(model, replace(claim, stated=self.dealt), version) as threads:
            yield threads


class LentLoader(Loader):
    """Opens what the supervisor has examined."""

    async def settings_of(self, order: Prepare) -> ModelSettings:
        """Raises LoadFailed."""
        if order.config is None:
            return await self.read_kept_settings(order.model, order.settings)
        override = await self.read_override(order.model, LoadOverride(order.config))
        stored = self.store.hold(order.settings)
        settings = await asyncio.to_thread(self._settings, order.model, stored, override)
        return replace(settings, digest=order.settings_identity)

    async def open(self, order: Prepare, spawn: asyncio.TaskGroup) -> ServedVersion:
        """Raises LoadFailed."""
        settings = await self.settings_of(order)
        stored = await self.hold_version(order.files)
        examined = examined_from_json(order.examined, settings, stored, order.version, order.threads)
        self.know(order.model, order.version, order.identity, examined)
        return await self.load(settings, stored, order.version, order.identity, spawn.create_task, again=True)


class Mirror:
    """An async context manager: what it has built serves until it is left, or told otherwise."""

    def __init__(self, catalog: Catalog, loader: LentLoader, threads: DealtThreads) -> None:
        self.catalog: Final = catalog
        self._loader = loader
        self._threads = threads
        self._tasks = asyncio.TaskGroup()
        self._building = asyncio.Lock()
        self._versions: dict[int, ServedVersion] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in self.catalog.names():
            self.catalog.swap(name, {}, {})
        for served in self._versions.values():
            self._tasks.create_task(served.retire())
        self._versions.clear()
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, traceback)
        else:
            await self._tasks.__aexit__(None, None, None)

    def serving(self) -> Iterator[tuple[int, ServedVersion]]:
        """What serves, with the number of its load."""
        for load, each in self._versions.items():
            if self.catalog.serving(each.spec.name).get(each.spec.version) is each:
                yield load, each

    # What the supervisor orders.

    async def prepare(self, document: Document) -> Document:
        """Build a version; it serves once `model` says so. Raises LoadFailed."""
        order = from_json(Prepare, document)
        async with self._building:
            self._threads.dealt = order.threads
            self._versions[order.load] = await self._loader.open(order, self._tasks)
        return {}

    async def discard(self, document: Document) -> Document:
        """Let go of a version, once its last request has ended. Unknown ones are no error."""
        async with self._building:  # it may be among those that are being built
            served = self._versions.pop(document["load"], None)
        if served is not None:
            await served.retire()
        return {}

    async def reconfigure(self, document: Document) -> Document:
        served = self._versions[document["load"]]
        name = served.spec.name
        settings = await self._loader.read_kept_settings(name, document["settings"])
        loaded = settings.loaded
        served.reconfigure(settings.config, document["identity"], loaded.stated, loaded)
        return {}

    def model(self, document: Document) -> None:
        """All that there is to know of a model; requests go to other versions from here on."""
        order = from_json(ModelOrder, document)
        served = {number: self._versions[load] for number, load in order.served.items()}
        states = states_from_json(order.states)
        self.catalog.swap(order.name, served, states)
        if order.trouble:
            self.catalog.note(order.name, states, order.trouble)

    def forget(self, document: Document) -> None:
        self.catalog.forget(document["name"])
