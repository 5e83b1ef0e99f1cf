"""The versions of a model that shall serve together: from copies to loaded ones. What can stay, stays."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from onnxd.errors import ServerError
from onnxd.repository.history import Generation, identity, version_content
from onnxd.repository.layout import ModelFiles
from onnxd.repository.loader import Loader
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.override import Override
from onnxd.repository.reconfiguration import can_go_on
from onnxd.repository.served import ServedVersion
from onnxd.repository.store import StoredFiles
from onnxd.scheduler.single_flight import Spawn
from onnxd.units import size_text

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Build:
    """One set of versions on its way. Nothing that serves is touched before `reconfigure`."""

    name: str
    settings: ModelSettings
    wanted: Sequence[int]
    is_override: bool = False
    again: bool = False
    """They have served before."""
    stored: dict[int, StoredFiles] = field(default_factory=dict)
    """Copies that no loaded version owns yet."""
    generation: Generation | None = None
    """What it is by content; None if it cannot be kept: it came with a load, or a part cannot be copied."""
    served: dict[int, ServedVersion] = field(default_factory=dict)
    """What came of it: loaded, or serving already."""
    failures: dict[int, ServerError] = field(default_factory=dict)
    _changes: list[tuple[ServedVersion, str]] = field(default_factory=list)

    @property
    def failed(self) -> list[ServerError]:
        """The highest version's last."""
        return [self.failures[number] for number in sorted(self.failures)]

    def change(self, served: ServedVersion, identity: str) -> None:
        """This one stays, and goes on with the new settings."""
        self._changes.append((served, identity))

    def reconfigure(self) -> None:
        """Apply the settings to what stays. Once all else has succeeded."""
        for served, changed in self._changes:
            loaded = self.settings.loaded
            served.reconfigure(self.settings.config, changed, loaded.stated, loaded)
            _log.info("reconfigured", model=self.name, version=served.spec.version)


class Builder:
    """Makes builds, and runs them."""

    def __init__(self, loader: Loader, spawn: Spawn) -> None:
        self._loader = loader
        self._spawn = spawn

    @contextlib.asynccontextmanager
    async def storing(
        self, files: ModelFiles, wanted: Sequence[int], settings: ModelSettings, override: Override | None
    ) -> AsyncIterator[Build]:
        """A build of a model's files, all of them copied before any is loaded."""
        build = Build(files.name, settings, wanted, is_override=override is not None)
        async with self._releasing(build):
            for number in wanted:
                try:
                    build.stored[number] = await self._loader.store_version(files, number, override)
                except ServerError as error:
                    self._fail(build, number, error)
            if override is None and not build.failures:
                digests = {number: stored.digest for number, stored in build.stored.items()}
                build.generation = Generation(settings.digest, digests)
            yield build

    @contextlib.asynccontextmanager
    async def holding(
        self, name: str, generation: Generation, settings: ModelSettings
    ) -> AsyncIterator[Build]:
        """A build of what is kept of a model."""
        build = Build(name, settings, sorted(generation.versions), again=True, generation=generation)
        async with self._releasing(build):
            for number, digest in generation.versions.items():
                try:
                    build.stored[number] = await self._loader.hold_version(digest)
                except ServerError as error:
                    self._fail(build, number, error)
            yield build

    async def run(self, build: Build, serving: Mapping[int, ServedVersion]) -> None:
        """Load what does not serve already. What fails is among the `failures`."""
        self._loader.threads.want(build.name, build.wanted)
        for number in build.wanted:
            if number in build.stored:
                try:
                    build.served[number] = await self._version(build, number, serving.get(number))
                except ServerError as error:
                    self._fail(build, number, error)

    async def examine(self, build: Build) -> None:
        """Find out of each whether it can be loaded. What cannot is among the `failures`."""
        for number, stored in build.stored.items():
            wanted = identity(build.settings.digest, stored.digest)
            try:
                await self._loader.find_out(build.settings, stored, number, wanted)
            except ServerError as error:
                self._fail(build, number, error)

    async def _version(self, build: Build, number: int, kept: ServedVersion | None) -> ServedVersion:
        stored, settings = build.stored[number], build.settings
        wanted = identity(settings.digest, stored.digest)
        if kept is not None and kept.identity == wanted:
            return kept
        if (
            kept is not None
            and not build.is_override
            and version_content(kept.identity) == stored.digest
            and can_go_on(kept.config, kept.spec, settings.config, settings.labels)
        ):
            build.change(kept, wanted)
            return kept
        del build.stored[number]  # from here on the loaded version's
        served = await self._loader.load(settings, stored, number, wanted, self._spawn, again=build.again)
        _log.info(
            "loaded",
            model=build.name,
            version=number,
            seconds=round(served.report.load_s, 3),
            max_batch_size=served.spec.max_batch_size,
            rows=None if served.report.rows is None else str(served.report.rows),
            threads=served.report.threads,
            peak=size_text(served.report.peak_bytes),
            resident=size_text(served.report.resident_bytes),
        )
        if served.report.isolation:
            _log.info("isolated", model=build.name, version=number, reason=served.report.isolation)
        if excess := self._loader.threads.excess():
            _log.warning("threads", model=build.name, warning=excess)
        for warning in served.report.warnings:
            _log.warning("config", model=build.name, version=number, warning=warning)
        return served

    @contextlib.asynccontextmanager
    async def _releasing(self, build: Build) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for stored in build.stored.values():
                await self._loader.release(stored)

    @staticmethod
    def _fail(build: Build, number: int, error: ServerError) -> None:
        build.failures[number] = error
        _log.warning("load failed", model=build.name, version=number, reason=error.message)
