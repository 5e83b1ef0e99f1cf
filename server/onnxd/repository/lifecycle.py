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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import structlog

from onnxd.errors import (
    ControlDisabled,
    LoadFailed,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    ServerDraining,
    ServerError,
)
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import Catalog, IndexEntry
from onnxd.repository.layout import RepositorySnapshot, scan
from onnxd.repository.lazy import wake
from onnxd.repository.loader import Loader
from onnxd.repository.plan import CurrentModel, Load, Refuse, plan
from onnxd.repository.settle import SettledRepository
from onnxd.repository.store import Unsettled
from onnxd.repository.transition import Transitions
from onnxd.repository.version_states import never_loaded
from onnxd.repository.watcher import WatchConfig, Watcher
from onnxd.repository.wishes import Record, Wish

ModelControl = Literal["watch", "explicit", "none"]
"""watch: follow the disk, and take load and unload too; explicit: only load and unload; none: neither."""

EVERYTHING: Final = "*"
"""In the list of models to load at the start: all of them."""

_SETTLE_AT_START_S: Final = 10.0

_log = structlog.get_logger(__name__)


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
        overrides: bool = False,
        most_brought: int = 256,
        watch: WatchConfig,
        load_at_start: Sequence[str] = (),
        parallel_loads: int = 2,
        lazy: bool = False,
        eager: Sequence[str] = (),
        read: Callable[[Sequence[Path]], RepositorySnapshot] = scan,
        arrived: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`arrived` waits until roots that are filled from elsewhere have been, once; None = none is."""
        self._catalog = catalog
        self._loader = loader
        self._use = loader.memory.use
        self._roots = tuple(roots)
        self._control = control
        self._control_by_api = control_by_api
        self.overrides_permitted = overrides
        """Whether a load may bring a config and files of its own."""
        self._most_brought = most_brought
        self._watch = watch
        self._load_at_start = frozenset(load_at_start)
        self._read, self._arrived = read, arrived
        self._lazy = lazy
        self._eager = frozenset(eager)
        """Models that are loaded at once though it is lazy."""
        self._slots = asyncio.Semaphore(parallel_loads)
        self._tasks = asyncio.TaskGroup()
        self._transitions = Transitions(catalog, loader, self._tasks.create_task)
        self._working: set[asyncio.Task[None]] = set()
        self._records: dict[str, Record] = {}
        self._initial: list[tuple[str, Wish]] = []
        self._initial_known = asyncio.Event()
        self._closing = False
        self.loads: Final = {"success": 0, "failure": 0}
        """Loads so far, each of all chosen versions of a model, by result."""
        self.failed_at_start: Final[dict[str, str]] = {}
        """The models that the start could not load, and why; complete once `started` is set."""
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
        entries = [
            entry if entry.version is None else replace(entry, memory=self._use(entry.name, entry.version))
            for entry in self._catalog.index()
        ]
        if self._control == "explicit":
            known = {entry.name for entry in entries}
            snapshot = await self._scan()
            entries += [never_loaded(model) for name, model in snapshot.models.items() if name not in known]
        return tuple(sorted(entries, key=lambda entry: (entry.name, entry.version or 0)))

    async def load(self, name: str, given: LoadOverride | None = None) -> None:
        """Load a model, or load again what has changed of it, and wait for the outcome.

        Files that are as they were when it was loaded are left alone. What is `given` stands in for the
        config, or for all files, until the model's files change or it is loaded without. Raises
        ModelNotFound, LoadFailed (what served keeps serving), MalformedPayload, PermissionDenied,
        RateLimited (for more models than may be brought), ControlDisabled, ServerDraining.
        """
        self._check_control()
        try:
            override = None if given is None else await self._loader.read_override(name, given)
            models = (await self._scan()).models
            model = models.get(name)
            if override is not None and override.versions:
                if model is None:
                    self._check_room(name, models)
                wish = Wish(override.files(name), key=model.key if model else "", override=override)
            elif model is None:
                raise ModelNotFound(f"failed to load '{name}': the model repository has no such directory")
            elif model.fault:
                raise LoadFailed(model.fault)
            else:
                wish = Wish(model, key=model.key, override=override)
            await self._wish(name, wish).outcome()
        except LoadFailed as error:
            raise LoadFailed(f"failed to load '{name}': {error.message}") from error

    async def rollback(self, name: str) -> None:
        """Serve what served before, from the server's own copy, and wait for the outcome.

        The model's files are not loaded before they change, or somebody loads them; a second rollback takes
        the first one back. Raises ModelNotFound, LoadFailed (what serves keeps serving), PermissionDenied,
        ControlDisabled, ServerDraining.
        """
        self._check_control()
        record = self._records.get(name)
        if record is None and self._loader.store.history(name) is None:
            raise ModelNotFound(f"failed to roll back '{name}': nothing is known of it")
        wish = Wish(None, key=record.attempted if record is not None else "", roll_back=True)
        try:
            await self._wish(name, wish).outcome()
        except LoadFailed as error:
            raise LoadFailed(f"failed to roll back '{name}': {error.message}") from error

    async def wake(self, name: str) -> None:
        """If a model is loaded with the first request for it, and this is one: load it, and wait for the
        outcome, which is in the catalog then. One load serves all who wait."""
        record = self._records.get(name)
        if record is not None and not self._closing:
            await wake(record, lambda wish: self._wish(name, wish))

    async def unload(self, name: str) -> None:
        """Stop serving a model; requests in flight finish. Unknown names are no error.

        It stays unloaded until its files change or somebody loads it. Raises PermissionDenied,
        ControlDisabled, ServerDraining.
        """
        self._check_control()
        if name not in self._records:
            return
        model = (await self._scan()).models.get(name)
        record = self._records.get(name)
        if record is None:
            return
        if model is not None:
            record.attempted = model.key
        await self._wish(name, Wish(None, key=record.attempted)).outcome()

    def _check_room(self, name: str, models: Mapping[str, object]) -> None:
        """Whether there may be one more model that the repository has not. Without a wait before the wish."""
        others = (record for known, record in self._records.items() if known != name and known not in models)
        brought = sum(record.detached for record in others)
        if brought >= self._most_brought:
            raise RateLimited(
                f"{brought} models that the repository does not have are loaded, as many as may be "
                "(the setting max_brought_models); unload one"
            )

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

    # The disk's side.

    async def _follow(self) -> None:
        await self._forget_absent()
        if self._control == "watch":
            await Watcher(self._roots, self._watch, scan=self._read).run(self._on_settled)
            return
        if self._arrived is not None:
            await self._arrived()
        snapshot = await self._scan()
        wanted = {
            name: model
            for name, model in snapshot.models.items()
            if self._control == "none" or EVERYTHING in self._load_at_start or name in self._load_at_start
        }
        for name in sorted(self._load_at_start - wanted.keys() - {EVERYTHING}):
            trouble = "to be loaded at the start, but not in the repository"
            self._catalog.note(name, {}, trouble=trouble)
            self.failed_at_start[name] = trouble
        self._on_settled(SettledRepository(wanted, {}, snapshot.problems, None))

    def _on_settled(self, seen: SettledRepository) -> None:
        current = {
            name: CurrentModel(record.attempted, record.refused)
            for name, record in self._records.items()
            if name in seen.models or not record.detached
        }
        wishes = []
        for step in plan(seen, current):
            record = self._records.setdefault(step.name, Record())
            if isinstance(step, Load):
                first = not record.attempted
                files, lazily = seen.models[step.name], self._is_lazy(step.name)
                wish = Wish(files, key=step.key, asked=False, first=first, examine=lazily)
                wishes.append((step.name, self._wish(step.name, wish)))
            elif isinstance(step, Refuse):
                record.refused = step.reason
                self._transitions.explain(step.name, seen.models[step.name], step.reason)
                if not self.started.is_set():
                    self.failed_at_start[step.name] = step.reason
            else:
                wishes.append((step.name, self._wish(step.name, Wish(None, forget=True))))
        if not self.started.is_set():
            self._initial += wishes
        if not seen.undecided and not seen.awaited:
            self._initial_known.set()

    def _is_lazy(self, name: str) -> bool:
        """What serves already is replaced at once."""
        return self._lazy and name not in self._eager and not self._catalog.serving(name)

    async def _forget_absent(self) -> None:
        """Of models that are no longer there, nothing is kept from an earlier run. Nothing is concluded from
        a repository that cannot be read, or is empty."""
        if not (remembered := self._loader.store.remembered()):
            return
        snapshot = await self._scan()
        filled = {model.root for model in snapshot.models.values()}
        if any(root.fault or path not in filled for path, root in snapshot.roots.items()):
            return
        for name in set(remembered) - snapshot.models.keys():
            await self._transitions.forget(name)

    async def _announce(self) -> None:
        """Set `started`. Files that never stop changing do not hold it up for ever."""
        if self._arrived is not None:
            await self._arrived()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_AT_START_S):
                await self._initial_known.wait()
        for name, wish in self._initial:
            try:
                await wish.outcome()
            except Unsettled:
                pass  # it changed while it was copied, and is tried again
            except ServerError as error:
                self.failed_at_start[name] = error.message
            else:
                self.failed_at_start.pop(name, None)
        self._initial.clear()
        self.started.set()

    async def _scan(self) -> RepositorySnapshot:
        return await asyncio.to_thread(self._read, self._roots)

    # One worker a model.

    def _wish(self, name: str, wish: Wish) -> Wish:
        record = self._records.setdefault(name, Record())
        if wish.files is not None:
            record.attempted, record.refused = wish.key, ""
        if wish.override is not None and wish.override.versions:
            record.detached = True
        record.asleep = None
        if record.next is not None:
            record.next.replaced_by = wish
            record.next.done.set()
        record.next = wish
        self._expect()
        if not record.busy:
            record.busy = True
            task = self._tasks.create_task(self._work(name, record), name=f"model {name}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return wish

    async def _work(self, name: str, record: Record) -> None:
        wish: Wish | None = None
        try:
            while (wish := record.next) is not None:
                record.next = None
                try:
                    await self._grant(name, wish, record)
                except ServerError as error:
                    if not isinstance(error, Unsettled):  # that is tried again without anybody asking
                        self.loads["failure"] += 1
                    wish.error = error
                wish.done.set()
        finally:
            record.busy = False
            self._expect()
            for left in (wish, record.next):
                if left is not None and not left.done.is_set():
                    left.error = ServerDraining("the server is shutting down", retry_after_s=1.0)
                    left.done.set()

    async def _grant(self, name: str, wish: Wish, record: Record) -> None:
        failures: Sequence[ServerError] = ()
        if wish.files is None and not wish.roll_back:
            self._transitions.unload(name, forget=wish.forget)
            if wish.forget:
                await self._transitions.forget(name)
        else:
            async with self._slots:
                if wish.files is None:
                    failures = await self._transitions.roll_back(name)
                elif wish.examine:
                    failures = await self._transitions.examine(name, wish.files, first=wish.first)
                else:
                    failures = await self._transitions.load(
                        name, wish.files, wish.override, asked=wish.asked, first=wish.first
                    )
            if not failures and not wish.examine:
                self.loads["success"] += 1
        record.settle(wish, failures)
        if record.next is None:
            record.attempted, record.detached = record.settled
            record.asleep = wish.files if wish.examine and self._catalog.sleeps(name) else None
            gone = wish.forget or (wish.override is not None and bool(failures) and not record.attempted)
            if gone and not self._catalog.serving(name):
                self._catalog.forget(name)
                del self._records[name]
        if failures:
            raise failures[-1]

    def _expect(self) -> None:
        """Say which models are on their way: the first of many is not the only one."""
        self._loader.threads.expect(
            frozenset(
                name for name, record in self._records.items() if record.busy or record.next is not None
            )
        )
