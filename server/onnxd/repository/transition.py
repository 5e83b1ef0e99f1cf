"""Taking one model from what serves to what shall serve, and saying so in the index.

settings -> versions chosen -> each stored, tried, loaded beside the old -> one swap -> the old are let go
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from onnxd.errors import LoadFailed, ServerError
from onnxd.repository.catalog import Catalog, ModelState, VersionState
from onnxd.repository.layout import ModelFiles
from onnxd.repository.loader import Loader, ModelSettings
from onnxd.repository.override import Override
from onnxd.repository.plan import plan_versions
from onnxd.repository.served import ServedVersion
from onnxd.repository.version_states import UNLOADED, after_load, unloadable, while_loading

Spawn = Callable[[Coroutine[Any, Any, None]], object]

_log = structlog.get_logger(__name__)


class Transitions:
    """The steps that the models' workers take. One at a time for each model, by its worker."""

    def __init__(self, catalog: Catalog, loader: Loader, spawn: Spawn) -> None:
        """`spawn` runs what nobody waits for here in the caller's task group: retirements, shared runs."""
        self._catalog = catalog
        self._loader = loader
        self._spawn = spawn

    async def load(
        self, name: str, files: ModelFiles, override: Override | None = None
    ) -> Sequence[ServerError]:
        """Load what has changed of a model. Returns what failed, the highest version's last.

        What fails keeps what served, and the index has the reason; a failed override leaves no trace in it,
        since it says nothing about the files that are there.
        """
        before = self._catalog.states(name)
        failures = await self._load(name, files, override)
        if failures and override is not None:
            self._catalog.note(name, *before)
        return failures

    async def _load(self, name: str, files: ModelFiles, override: Override | None) -> Sequence[ServerError]:
        try:
            settings = await self._loader.read_settings(files, override)
        except ServerError as error:
            return [self._nothing(name, files, error)]
        for warning in settings.warnings:
            _log.warning("config", model=name, warning=warning)
        wanted = settings.config.versions.select(files.versions)
        if not wanted:
            unchosen = LoadFailed(
                f"none of its versions ({', '.join(map(str, files.versions))}) is "
                f"chosen by '{settings.loaded.name('versions')}' in its {settings.loaded.document.source}"
            )
            return [self._nothing(name, files, unchosen)]
        serving = self._catalog.serving(name)
        next_served: dict[int, ServedVersion] = {}
        failures: dict[int, ServerError] = {}
        self._catalog.note(name, while_loading(wanted, serving))
        try:
            for number in wanted:
                try:
                    next_served[number] = await self._version(files, number, settings, override)
                except ServerError as error:
                    failures[number] = error
                    _log.warning("load failed", model=name, version=number, reason=error.message)
        except BaseException:
            for number, served in next_served.items():
                if served is not serving.get(number):
                    self._let_go(served)
            raise
        if failures and override is not None:
            for served in next_served.values():
                self._let_go(served)
            return [failures[number] for number in sorted(failures)]
        if failures:
            # What served is let go only when the whole new set is up.
            next_served = {**serving, **next_served}
        states = after_load(files, wanted, next_served, failures, settings.config.versions)
        self._swap(name, next_served, states)
        return [failures[number] for number in sorted(failures)]

    async def _version(
        self, files: ModelFiles, number: int, settings: ModelSettings, override: Override | None
    ) -> ServedVersion:
        """What serves already when it has the same content, else a new one."""
        stored = await self._loader.store_version(files, number, override)
        identity = f"{settings.digest}:{stored.digest}"
        kept = self._catalog.serving(files.name).get(number)
        change = plan_versions({number: identity}, {number: kept.identity} if kept else {})
        if kept is not None and not change.start:
            await self._loader.release(stored)
            return kept
        served = await self._loader.load(settings, stored, number, identity, self._spawn)
        _log.info("loaded", model=files.name, version=number, seconds=round(served.report.load_s, 3))
        for warning in served.report.warnings:
            _log.warning("config", model=files.name, version=number, warning=warning)
        return served

    def unload(self, name: str, *, forget: bool) -> None:
        """Stop serving; with `forget` the index no longer knows the name."""
        serving = self._catalog.serving(name)
        states, _ = self._catalog.states(name)
        if states:
            self._swap(name, {}, dict.fromkeys(states, UNLOADED))
        if forget:
            self._catalog.forget(name)
        if serving:
            _log.info("unloaded", model=name, versions=sorted(serving))

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

    def _let_go(self, served: ServedVersion) -> None:
        """Retire a version that never served."""
        self._spawn(served.retire())
