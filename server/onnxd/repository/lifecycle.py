"""Makes what serves follow what the repository holds: one worker a model, the latest wish wins.

    disk -> watcher -> plan ─┐
                             ├─> wish ─> the model's worker ─> loader ─> catalog.swap ─> retire the old
    load, unload by API ─────┘

A new version is loaded and warmed beside the old one and swapped in by one assignment; if that fails the old
one keeps serving and the index says why. What failed is not tried again before its files change or somebody
asks for it.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import structlog

from onnxd.errors import (
    ControlDisabled,
    LoadFailed,
    ModelNotFound,
    PermissionDenied,
    ServerDraining,
    ServerError,
)
from onnxd.repository.catalog import Catalog, IndexEntry, ModelState, VersionState
from onnxd.repository.layout import ModelFiles, RepositorySnapshot, scan
from onnxd.repository.loader import Loader
from onnxd.repository.plan import CurrentModel, Load, Refuse, plan, plan_versions
from onnxd.repository.served import ServedVersion
from onnxd.repository.settle import SettledRepository
from onnxd.repository.store import Unsettled
from onnxd.repository.version_states import (
    UNLOADED,
    after_load,
    never_loaded,
    unloadable,
    while_loading,
)
from onnxd.repository.watcher import WatchConfig, Watcher

ModelControl = Literal["watch", "explicit", "none"]
"""watch: follow the disk, and take load and unload too; explicit: only load and unload; none: neither."""

EVERYTHING: Final = "*"
"""In the list of models to load at the start: all of them."""

_SETTLE_AT_START_S: Final = 10.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Wish:
    """What a model shall become. `files` None = unloaded; `forget` = its directory is gone as well."""

    files: ModelFiles | None
    forget: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: ServerError | None = None
    replaced_by: "_Wish | None" = None


@dataclass(slots=True, eq=False)
class _Record:
    """What is remembered of one model between two looks at the disk."""

    attempted: str = ""
    refused: str = ""
    next: _Wish | None = None
    busy: bool = False


class Lifecycle:
    """The control plane. An async context manager: it watches and loads while it is open.

    Resource handling: leaving it cancels the watcher and the loads in progress, then retires every served
    version; each is closed after its last request. The front ends must have stopped by then.
    Error handling: a model's fault is that model's reason in the index; a bug of ours stops the server.
    """

    def __init__(
        self,
        catalog: Catalog,
        loader: Loader,
        roots: Sequence[Path],
        *,
        control: ModelControl,
        control_by_api: bool = True,
        watch: WatchConfig,
        load_at_start: Sequence[str] = (),
        parallel_loads: int = 2,
    ) -> None:
        self._catalog = catalog
        self._loader = loader
        self._roots = tuple(roots)
        self._control = control
        self._control_by_api = control_by_api
        self._watch = watch
        self._load_at_start = frozenset(load_at_start)
        self._slots = asyncio.Semaphore(parallel_loads)
        self._tasks = asyncio.TaskGroup()
        self._working: set[asyncio.Task[None]] = set()
        self._records: dict[str, _Record] = {}
        self._initial: list[_Wish] = []
        self._initial_known = asyncio.Event()
        self._closing = False
        self.loads: Final = {"success": 0, "failure": 0}
        """Loads so far, each of all chosen versions of a model, by result."""
        self.started = asyncio.Event()
        """Set when what the repository held at the start is loaded, or has failed with its reason."""

    async def __aenter__(self) -> "Lifecycle":
        await self._tasks.__aenter__()
        self._working.add(self._tasks.create_task(self._follow(), name="repository"))
        self._working.add(self._tasks.create_task(self._announce(), name="start"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        for task in self._working:
            task.cancel()
        for name in self._catalog.names():
            for served in self._catalog.swap(name, {}, {}):
                self._tasks.create_task(served.retire())
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, traceback)
        else:
            # An error of the body is not the tasks': it goes on as it is, not inside a group.
            await self._tasks.__aexit__(None, None, None)

    # The API's side.

    async def index(self) -> tuple[IndexEntry, ...]:
        """Every known version, and every model directory that was never loaded."""
        entries = list(self._catalog.index())
        if self._control == "explicit":
            known = {entry.name for entry in entries}
            snapshot = await self._scan()
            entries += [never_loaded(model) for name, model in snapshot.models.items() if name not in known]
        return tuple(sorted(entries, key=lambda entry: (entry.name, entry.version or 0)))

    async def load(self, name: str) -> None:
        """Load a model, or load again what has changed of it, and wait for the outcome.

        Files that are as they were when it was loaded are left alone. Raises ModelNotFound, LoadFailed
        (what served keeps serving), PermissionDenied, ControlDisabled, ServerDraining.
        """
        self._check_control()
        model = (await self._scan()).models.get(name)
        if model is None:
            raise ModelNotFound(f"failed to load '{name}': the model repository has no such directory")
        if model.fault:
            raise LoadFailed(f"failed to load '{name}': {model.fault}")
        try:
            await self._fulfil(self._wish(name, _Wish(model)))
        except LoadFailed as error:
            raise LoadFailed(f"failed to load '{name}': {error.message}") from error

    async def unload(self, name: str) -> None:
        """Stop serving a model; requests in flight finish. Unknown names are no error.

        It stays unloaded until its files change or somebody loads it. Raises PermissionDenied,
        ControlDisabled, ServerDraining.
        """
        self._check_control()
        if name not in self._records:
            return
        model = (await self._scan()).models.get(name)
        record = self._records[name]
        if model is not None:
            record.attempted = model.key
        await self._fulfil(self._wish(name, _Wish(None)))

    def _check_control(self) -> None:
        if not self._control_by_api:
            raise PermissionDenied(
                "loading and unloading over the network is not permitted here (setting model_control_api)"
            )
        if self._control == "none":
            raise ControlDisabled(
                "loading and unloading over the network is switched off; "
                "start the server with --model-control watch or explicit"
            )
        if self._closing:
            raise ServerDraining("the server is shutting down", retry_after_s=1.0)

    async def _fulfil(self, wish: _Wish) -> None:
        await wish.done.wait()
        while wish.replaced_by is not None:
            wish = wish.replaced_by
            await wish.done.wait()
        if wish.error is not None:
            raise wish.error

    # The disk's side.

    async def _follow(self) -> None:
        if self._control == "watch":
            await Watcher(self._roots, self._watch).run(self._on_settled)
            return
        snapshot = await self._scan()
        wanted = {
            name: model
            for name, model in snapshot.models.items()
            if self._control == "none" or EVERYTHING in self._load_at_start or name in self._load_at_start
        }
        for name in sorted(self._load_at_start - wanted.keys() - {EVERYTHING}):
            self._catalog.note(name, {}, trouble="to be loaded at the start, but not in the repository")
        self._on_settled(SettledRepository(wanted, {}, snapshot.problems, None))

    def _on_settled(self, seen: SettledRepository) -> None:
        current = {
            name: CurrentModel(record.attempted, record.refused) for name, record in self._records.items()
        }
        wishes = []
        for step in plan(seen, current):
            record = self._records.setdefault(step.name, _Record())
            if isinstance(step, Load):
                wishes.append(self._wish(step.name, _Wish(seen.models[step.name])))
            elif isinstance(step, Refuse):
                record.refused = step.reason
                self._explain(step.name, seen.models[step.name], step.reason)
            else:
                wishes.append(self._wish(step.name, _Wish(None, forget=True)))
        if not self.started.is_set():
            self._initial += wishes
        if not seen.undecided:
            self._initial_known.set()

    async def _announce(self) -> None:
        """Set `started`. Files that never stop changing do not hold it up for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_AT_START_S):
                await self._initial_known.wait()
        for wish in self._initial:
            await wish.done.wait()
        self._initial.clear()
        self.started.set()

    async def _scan(self) -> RepositorySnapshot:
        return await asyncio.to_thread(scan, self._roots)

    # One worker a model.

    def _wish(self, name: str, wish: _Wish) -> _Wish:
        record = self._records.setdefault(name, _Record())
        if wish.files is not None:
            record.attempted, record.refused = wish.files.key, ""
        if record.next is not None:
            record.next.replaced_by = wish
            record.next.done.set()
        record.next = wish
        if not record.busy:
            record.busy = True
            task = self._tasks.create_task(self._work(name, record), name=f"model {name}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return wish

    async def _work(self, name: str, record: _Record) -> None:
        wish: _Wish | None = None
        try:
            while (wish := record.next) is not None:
                record.next = None
                try:
                    if wish.files is not None:
                        async with self._slots:
                            await self._load(name, wish.files, record)
                        self.loads["success"] += 1
                    else:
                        self._unload(name, forget=wish.forget)
                        if wish.forget and record.next is None:
                            del self._records[name]
                except ServerError as error:
                    if not isinstance(error, Unsettled):  # that is tried again without anybody asking
                        self.loads["failure"] += 1
                    wish.error = error
                wish.done.set()
        finally:
            record.busy = False
            for left in (wish, record.next):
                if left is not None and not left.done.is_set():
                    left.error = ServerDraining("the server is shutting down", retry_after_s=1.0)
                    left.done.set()

    async def _load(self, name: str, files: ModelFiles, record: _Record) -> None:
        log = _log.bind(model=name)
        try:
            settings = await self._loader.read_settings(files)
        except ServerError as error:
            self._note_failure(name, files, error, record)
            raise
        wanted = settings.config.versions.select(files.versions)
        if not wanted:
            unchosen = LoadFailed(
                f"none of its versions ({', '.join(map(str, files.versions))}) is "
                f"chosen by 'versions' in its config.yaml"
            )
            self._note_failure(name, files, unchosen, record)
            raise unchosen
        serving = self._catalog.serving(name)
        next_served: dict[int, ServedVersion] = {}
        failures: dict[int, ServerError] = {}
        self._catalog.note(name, while_loading(wanted, serving))
        try:
            for number in wanted:
                try:
                    stored = await self._loader.store_version(files, number)
                    identity = f"{settings.digest}:{stored.digest}"
                    kept = serving.get(number)
                    change = plan_versions({number: identity}, {number: kept.identity} if kept else {})
                    if kept is not None and not change.start:
                        await self._loader.release(stored)
                        next_served[number] = kept
                        continue
                    next_served[number] = await self._loader.load(settings, stored, number, identity)
                    log.info("loaded", version=number, seconds=round(next_served[number].report.load_s, 3))
                except ServerError as error:
                    failures[number] = error
                    log.warning("load failed", version=number, reason=error.message)
                    if isinstance(error, Unsettled):
                        record.attempted = ""
        except BaseException:
            for number, served in next_served.items():
                if served is not serving.get(number):
                    self._tasks.create_task(served.retire())
            raise
        if failures:
            # What served is let go only when the whole new set is up.
            next_served = {**serving, **next_served}
        states = after_load(files, wanted, next_served, failures, settings.config.versions)
        self._swap(name, next_served, states)
        if failures:
            raise failures[max(failures)]

    def _unload(self, name: str, *, forget: bool) -> None:
        serving = self._catalog.serving(name)
        if states := self._catalog.states(name):
            self._swap(name, {}, dict.fromkeys(states, UNLOADED))
        if forget:
            self._catalog.forget(name)
        if serving:
            _log.info("unloaded", model=name, versions=sorted(serving))

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
            self._tasks.create_task(self._retire(old, unloading.get(number), states.get(number, UNLOADED)))

    async def _retire(
        self, served: ServedVersion, unloading: VersionState | None, after: VersionState
    ) -> None:
        await served.retire()
        if unloading is not None:
            self._catalog.conclude(served.spec.name, served.spec.version, unloading, after)

    # What the index says of models that did not load.

    def _note_failure(self, name: str, files: ModelFiles, error: ServerError, record: _Record) -> None:
        if isinstance(error, Unsettled):
            record.attempted = ""
        self._explain(name, files, error.message)
        _log.warning("load failed", model=name, reason=error.message)

    def _explain(self, name: str, files: ModelFiles, reason: str) -> None:
        """Nothing of these files can be loaded; what serves keeps serving."""
        states = unloadable(files, self._catalog.serving(name), reason)
        self._catalog.note(name, states, trouble=reason)
