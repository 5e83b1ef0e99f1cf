"""Taking one model from what serves to what shall serve, and saying so in the index.

settings -> versions chosen -> each stored, tried, loaded beside the old -> one swap -> the old are let go
"""

from collections.abc import Callable, Mapping, Sequence

import structlog

from onnxd.errors import LoadFailed, ServerError
from onnxd.repository.catalog import Catalog, ModelState, VersionState
from onnxd.repository.layout import ModelFiles
from onnxd.repository.loader import Loader, ModelSettings
from onnxd.repository.override import Override
from onnxd.repository.plan import plan_versions
from onnxd.repository.served import ServedVersion
from onnxd.repository.version_policy import VersionPolicy

_log = structlog.get_logger(__name__)


class Transitions:
    """The steps that the models' workers take. One at a time for each model, by its worker."""

    def __init__(self, catalog: Catalog, loader: Loader, let_go: Callable[[ServedVersion], None]) -> None:
        """`let_go` retires a version that no longer serves, without waiting for it."""
        self._catalog = catalog
        self._loader = loader
        self._let_go = let_go

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
        self._note_loading(name, wanted)
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
        states = _states(files, wanted, next_served, failures, _describe(settings.config.versions))
        for served in self._catalog.swap(name, next_served, states):
            self._let_go(served)
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
        served = await self._loader.load(settings, stored, number, identity)
        _log.info("loaded", model=files.name, version=number, seconds=round(served.report.load_s, 3))
        for warning in served.report.warnings:
            _log.warning("config", model=files.name, version=number, warning=warning)
        return served

    def unload(self, name: str, *, forget: bool) -> None:
        """Stop serving; with `forget` the index no longer knows the name."""
        serving = self._catalog.serving(name)
        state = VersionState(ModelState.UNAVAILABLE, "unloaded")
        retired = self._catalog.swap(name, {}, dict.fromkeys(serving, state))
        if forget:
            self._catalog.forget(name)
        for served in retired:
            self._let_go(served)
        if retired:
            _log.info("unloaded", model=name, versions=sorted(serving))

    def explain(self, name: str, files: ModelFiles, reason: str) -> None:
        """Nothing of these files can be loaded; what serves keeps serving."""
        serving = self._catalog.serving(name)
        states = {number: VersionState(ModelState.UNAVAILABLE, reason) for number in files.versions}
        states |= dict.fromkeys(serving, _ready_despite(reason))
        self._catalog.note(name, states, trouble=reason)

    def _nothing(self, name: str, files: ModelFiles, error: ServerError) -> ServerError:
        self.explain(name, files, error.message)
        _log.warning("load failed", model=name, reason=error.message)
        return error

    def _note_loading(self, name: str, wanted: Sequence[int]) -> None:
        serving = self._catalog.serving(name)
        loading = VersionState(ModelState.LOADING)
        ready = VersionState(ModelState.READY)
        self._catalog.note(name, {**dict.fromkeys(wanted, loading), **dict.fromkeys(serving, ready)})


def _states(
    files: ModelFiles,
    wanted: Sequence[int],
    served: Mapping[int, ServedVersion],
    failures: Mapping[int, ServerError],
    policy: str,
) -> dict[int, VersionState]:
    states = {
        number: VersionState(ModelState.UNAVAILABLE, f"not chosen by 'versions: {policy}'")
        for number in files.versions
        if number not in wanted
    }
    states |= {
        number: VersionState(ModelState.UNAVAILABLE, error.message) for number, error in failures.items()
    }
    states |= dict.fromkeys(served, VersionState(ModelState.READY))
    states |= {
        number: _ready_despite(error.message) for number, error in failures.items() if number in served
    }
    return states


def _ready_despite(reason: str) -> VersionState:
    return VersionState(ModelState.READY, f"its newer files do not load, the old ones serve: {reason}")


def _describe(policy: VersionPolicy) -> str:
    if policy.only:
        return f"[{', '.join(map(str, policy.only))}]"
    return "all" if policy.latest is None else f"{{latest: {policy.latest}}}"
