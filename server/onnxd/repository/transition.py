"""Taking one model from what serves to what shall serve, and saying so in the index.

settings -> versions chosen -> all stored -> each tried, loaded beside the old -> one swap -> the old let go
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from onnxd.errors import LoadFailed, ServerError
from onnxd.repository.build import Build, Builder
from onnxd.repository.catalog import ASLEEP, UNLOADED, Catalog, ModelState, VersionState
from onnxd.repository.history import Generation, History
from onnxd.repository.layout import ModelFiles
from onnxd.repository.loader import Loader
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.override import Override
from onnxd.repository.served import ServedVersion
from onnxd.repository.version_states import (
    after_load,
    rolled_back,
    served_last,
    unloadable,
    while_loading,
)

Spawn = Callable[[Coroutine[Any, Any, None]], object]

_log = structlog.get_logger(__name__)


class Transitions:
    """The steps that the models' workers take. One at a time for each model, by its worker."""

    def __init__(self, catalog: Catalog, loader: Loader, spawn: Spawn) -> None:
        """`spawn` runs what nobody waits for here in the caller's task group: retirements, shared runs."""
        self._catalog = catalog
        self._loader = loader
        self._store = loader.store
        self._builder = Builder(loader, spawn)
        self._spawn = spawn
        self._on_disk: dict[str, Generation] = {}
        """What the files of a model held when they were last looked at, where that is known."""
        self._examined: dict[str, Generation] = {}
        """What was examined and not loaded yet."""

    async def load(
        self, name: str, files: ModelFiles, override: Override | None = None, *, asked: bool, first: bool
    ) -> Sequence[ServerError]:
        """Load what has changed of a model. Returns what failed, the highest version's last.

        What fails keeps what served, and the index has the reason; a failed override leaves no trace in it,
        since it says nothing about the files that are there. `asked`: somebody did, so that it is loaded even
        if it was rolled back. `first`: the server has just started; if the files do not load, what served
        before it stopped does.
        """
        before = self._catalog.states(name)
        failures = await self._load(name, files, override, asked=asked, first=first)
        if failures and override is not None:
            self._catalog.note(name, *before)
        elif failures and first and not asked:
            await self._serve_last(name, files, failures)
        return failures

    async def examine(self, name: str, files: ModelFiles, *, first: bool) -> Sequence[ServerError]:
        """Find out whether a model that does not serve can be loaded, and leave that to the first request.

        Returns what failed; the versions that did not are ASLEEP. `first` as in `load`.
        """
        self._on_disk.pop(name, None)
        failures = await self._examine(name, files)
        if failures and first and not self._catalog.sleeps(name):
            await self._serve_last(name, files, failures)
        return failures

    async def _examine(self, name: str, files: ModelFiles) -> Sequence[ServerError]:
        async with self._reading(name, files, None) as read:
            if isinstance(read, ServerError):
                return [read]
            settings, wanted = read
            async with self._builder.storing(files, wanted, settings, None) as build:
                await self._builder.examine(build)
            states = after_load(files, wanted, (), build.failures, settings.config.versions)
            asleep = dict.fromkeys(set(wanted) - build.failures.keys(), ASLEEP)
            self._catalog.note(name, states | asleep)
            if build.generation is not None and not build.failures:
                self._examined[name] = self._on_disk[name] = build.generation
            return build.failed

    async def roll_back(self, name: str) -> Sequence[ServerError]:
        """Serve what served before, from the copy that was kept. Returns what failed; what serves goes on."""
        history = self._store.history(name)
        serving = {number: served.identity for number, served in self._catalog.serving(name).items()}
        if asleep := self._examined.get(name):  # what the next request would load
            serving = serving or asleep.identities
        target = history.target(serving) if history is not None else None
        if history is None or target is None:
            return [LoadFailed("nothing else of it has served, so there is nothing to go back to")]
        after = history.rolled_back(target, self._on_disk.get(name))
        before = self._catalog.states(name)
        failures = await self._restore(name, target, rolled_back(target, before[0], after.rejected))
        if failures:
            self._catalog.note(name, *before)
        else:
            self._examined.pop(name, None)
            await asyncio.to_thread(self._store.remember, name, after)
            _log.info("rolled back", model=name, to=str(target))
        return failures

    async def _load(
        self, name: str, files: ModelFiles, override: Override | None, *, asked: bool, first: bool
    ) -> Sequence[ServerError]:
        if override is None:
            self._on_disk.pop(name, None)
        async with self._reading(name, files, override) as read:
            if isinstance(read, ServerError):
                return [read]
            settings, wanted = read
            async with self._builder.storing(files, wanted, settings, override) as build:
                return await self._load_stored(name, files, build, asked=asked, first=first)

    @contextlib.asynccontextmanager
    async def _reading(
        self, name: str, files: ModelFiles, override: Override | None
    ) -> AsyncIterator[tuple[ModelSettings, Sequence[int]] | ServerError]:
        """A model's settings and the versions that they choose, which are LOADING; or why there are none."""
        try:
            settings = await self._loader.read_settings(files, override)
        except ServerError as error:
            yield self._nothing(name, files, error)
            return
        try:
            for warning in settings.warnings:
                _log.warning("config", model=name, warning=warning)
            wanted = settings.config.versions.select(files.versions)
            if not wanted:
                yield self._nothing(name, files, _unchosen(files, settings))
                return
            self._catalog.note(name, while_loading(wanted, self._sound(name)))
            yield settings, wanted
        finally:
            await self._loader.release(settings.stored)

    async def _load_stored(
        self, name: str, files: ModelFiles, build: Build, *, asked: bool, first: bool
    ) -> Sequence[ServerError]:
        generation, history = build.generation, self._store.history(name)
        served_last = first and history is not None and history.current == generation
        examined = self._examined.pop(name, None)
        build.again = served_last or (examined is not None and examined == generation)
        if generation is not None:
            self._on_disk[name] = generation
            if not asked and history is not None and history.rejected == generation:
                return await self._stay_rolled_back(name, files, history)
        serving = self._sound(name)
        await self._run(build)
        if build.failures and build.is_override:
            self._let_go(build, serving)
            return build.failed
        served = build.served
        if build.failures:
            # What served is let go only when the whole new set is up.
            served = {**serving, **served}
        else:
            build.reconfigure()
        policy = build.settings.config.versions
        self._swap(name, served, after_load(files, build.wanted, served, build.failures, policy))
        if generation is not None and not build.failures:
            after = history.loaded(generation) if history is not None else History(generation)
            await asyncio.to_thread(self._store.remember, name, after)
        return build.failed

    async def _stay_rolled_back(
        self, name: str, files: ModelFiles, history: History
    ) -> Sequence[ServerError]:
        """The files are those that were taken back: what serves goes on, also over a restart."""
        states = rolled_back(history.current, files.versions, history.rejected)
        if self._sound(name):
            self._catalog.note(name, states)
            return []
        failures = await self._restore(name, history.current, states)
        if failures:
            self.explain(name, files, failures[-1].message)
        return failures

    async def _serve_last(self, name: str, files: ModelFiles, failures: Sequence[ServerError]) -> None:
        history = self._store.history(name)
        if history is None or self._catalog.serving(name):
            return
        before = self._catalog.states(name)
        states = served_last(files, history.current, failures)
        if await self._restore(name, history.current, states):
            self._catalog.note(name, *before)
        else:
            _log.warning("serves what it served before the start", model=name, what=str(history.current))

    async def _restore(
        self, name: str, generation: Generation, states: Mapping[int, VersionState]
    ) -> Sequence[ServerError]:
        """Serve what is kept of a model, all of it or nothing."""
        serving = self._sound(name)
        self._catalog.note(name, while_loading(generation.versions, serving))
        try:
            settings = await self._loader.read_kept_settings(name, generation.settings)
        except ServerError as error:
            _log.warning("load failed", model=name, reason=error.message)
            return [error]
        try:
            async with self._builder.holding(name, generation, settings) as build:
                await self._run(build)
                if build.failures:
                    self._let_go(build, serving)
                    return build.failed
                build.reconfigure()
                self._swap(name, build.served, states)
                return []
        finally:
            await self._loader.release(settings.stored)

    async def _run(self, build: Build) -> None:
        serving = self._sound(build.name)
        try:
            await self._builder.run(build, serving)
        except BaseException:
            self._let_go(build, serving)
            raise

    def _sound(self, name: str) -> dict[int, ServedVersion]:
        """What serves, without what has broken since: that is loaded again, whatever its files are."""
        serving = self._catalog.serving(name)
        return {number: served for number, served in serving.items() if not served.broken}

    def unload(self, name: str, *, forget: bool) -> None:
        """Stop serving; with `forget` the index no longer knows the name."""
        self._examined.pop(name, None)
        serving = self._catalog.serving(name)
        states, _ = self._catalog.states(name)
        if states:
            self._swap(name, {}, dict.fromkeys(states, UNLOADED))
        if forget:
            self._catalog.forget(name)
        if serving:
            _log.info("unloaded", model=name, versions=sorted(serving))

    async def forget(self, name: str) -> None:
        """The model is gone for good: nothing is kept of it."""
        self._on_disk.pop(name, None)
        self._examined.pop(name, None)
        await asyncio.to_thread(self._store.forget, name)

    def explain(self, name: str, files: ModelFiles, reason: str) -> None:
        """Nothing of these files can be loaded; what serves keeps serving."""
        states = unloadable(files, self._catalog.serving(name), reason)
        self._catalog.note(name, states, trouble=reason)

    def _nothing(self, name: str, files: ModelFiles, error: ServerError) -> ServerError:
        self.explain(name, files, error.message)
        _log.warning("load failed", model=name, reason=error.message)
        return error

    def _swap(
        self, name: str, served: Mapping[int, ServedVersion], states: Mapping[int, VersionState]
    ) -> None:
        """Serve these versions from now on. One that serves no longer, and still has requests, is UNLOADING
        until they have ended."""
        unloading = {
            number: VersionState(ModelState.UNLOADING)
            for number, old in self._catalog.serving(name).items()
            if old.leases and number not in served
        }
        for old in self._catalog.swap(name, served, {**states, **unloading}):
            number = old.spec.version
            self._spawn(self._retire(old, unloading.get(number), states.get(number, UNLOADED)))

    async def _retire(
        self, served: ServedVersion, unloading: VersionState | None, after: VersionState
    ) -> None:
        await served.retire()
        if unloading is not None:
            self._catalog.conclude(served.spec.name, served.spec.version, unloading, after)

    def _let_go(self, build: Build, serving: Mapping[int, ServedVersion]) -> None:
        """Retire the versions that were built and never served."""
        for number, served in build.served.items():
            if served is not serving.get(number):
                self._spawn(served.retire())


def _unchosen(files: ModelFiles, settings: ModelSettings) -> LoadFailed:
    return LoadFailed(
        f"none of its versions ({', '.join(map(str, files.versions))}) is "
        f"chosen by '{settings.loaded.name('versions')}' in its {settings.loaded.document.source}"
    )
