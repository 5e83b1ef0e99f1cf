"""Keeps the local copy of one repository as its store has it, for as long as `run` runs.

    list -> arrange -> plan -> download what is lacking -> list again -> what is still so, swap in

Whatever goes wrong, what was swapped in stays, and so does what serves.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import structlog

from onnxd.repository.object_store.bucket import Bucket
from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.faults import REASONS, StorageFault
from onnxd.repository.object_store.listing import Bounds, RemoteModel, RemoteObject, RemoteRepository, arrange
from onnxd.repository.object_store.mirror import Mirror
from onnxd.repository.object_store.sync_plan import SyncPlan, confirm, sync_plan
from onnxd.repository.object_store.url import ObjectUrl
from onnxd.telemetry.observation import StorageObservation

_FIRST_BACK_OFF_S: Final = 1.0
_LONGEST_BACK_OFF_S: Final = 300.0
_JITTER: Final = 0.25
"""Of each wait, so that replicas that were started together do not ask together."""

_OF_THE_STORE: Final = frozenset({"credentials", "disk", "timeout", "unreachable"})
"""Why a download fails that would make the next one fail too."""

MOVING: Final = "its objects are still changing in the object store"

_log = structlog.get_logger(__name__)


class Sync:
    """One repository in an object store, and its copy."""

    def __init__(
        self,
        url: ObjectUrl,
        bucket: Bucket,
        mirror: Mirror,
        config: ObjectStoreConfig,
        *,
        single_model: str = "",
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._url = url
        self._bucket = bucket
        self._mirror = mirror
        self._config = config
        self._bounds = Bounds(config.max_object_bytes, config.max_bytes)
        self._single_model = single_model
        self._chance = chance
        self._said: frozenset[str] = frozenset()
        self._failures: Final[dict[str, int]] = dict.fromkeys(REASONS, 0)
        self._unhad: Mapping[str, str] = {}
        """Models of which objects could not be downloaded in the last look, and why."""
        self._failed_in_turn = 0
        self._looks = 0
        self._downloaded_bytes = 0
        self._held = RemoteRepository({}, {}, ())
        self._last_success_s: float | None = None
        self.arrived: Final = asyncio.Event()
        """Set once there is a copy to serve from: by the first success, or from before this start."""
        self.trouble = ""
        """Why the last look has failed; empty = it has not."""
        self.waiting: Mapping[str, str] = {}
        """Models that are on their way, and why they are not here."""
        self.refused: Mapping[str, str] = {}
        """Models that will not be taken as they are, and why."""

    async def run(self) -> None:
        """Look again and again. Ends only by cancellation."""
        while True:
            wait_s = await self.look()
            await asyncio.sleep(wait_s * (1 + _JITTER * (2 * self._chance() - 1)))

    async def look(self) -> float:
        """One look, whatever it comes to. Returns in how many seconds the next is due."""
        self._looks += 1
        try:
            moving = await self._sync()
        except StorageFault as fault:
            return await self._failed(fault)
        except OSError as error:
            text = f"{self._url}: the copy cannot be written: {error.strerror}"
            return await self._failed(StorageFault("disk", text))
        if self._failed_in_turn:
            _log.info("object store is reached again", repository=str(self._url))
        self.trouble, self._failed_in_turn = "", 0
        self._last_success_s = time.monotonic()
        self.arrived.set()
        return (
            min(self._config.poll_interval, 2 * self._config.settle) if moving else self._config.poll_interval
        )

    async def _sync(self) -> bool:
        """Whether models were changing, so that a further look is due soon."""
        began_s = time.monotonic()
        remote = await self._listed()
        self.refused = remote.refused
        local = await asyncio.to_thread(self._mirror.local)
        plan = sync_plan(remote, local)
        if plan.emptied:
            raise StorageFault(
                "emptied",
                f"{self._url} is empty all at once; its {len(local)} models keep serving; unload them by "
                "name if that is meant",
            )
        await asyncio.to_thread(self._mirror.collect, remote.models.values())
        self._held = remote
        if plan.nothing:
            self.waiting = {}
            return False
        self.waiting = {model.name: "its objects are being downloaded" for model in plan.take}
        failed = await self._download(plan)
        await asyncio.sleep(max(0.0, began_s + self._config.settle - time.monotonic()))
        confirmed = confirm(plan, await self._listed())
        for model in confirmed.swap:
            if model.name not in failed:
                await asyncio.to_thread(self._mirror.swap, model)
                _log.info("model synced", repository=str(self._url), model=model.name, bytes=model.size_bytes)
        for name in confirmed.remove:
            await asyncio.to_thread(self._mirror.remove, name)
            _log.info("model is gone from the object store", repository=str(self._url), model=name)
        for name in sorted(failed):
            if failed[name] not in (MOVING, self._unhad.get(name)):
                _log.warning("object store", repository=str(self._url), model=name, problem=failed[name])
        self._unhad = failed
        self.waiting = dict.fromkeys(confirmed.moving, MOVING) | failed
        return MOVING in self.waiting.values()

    async def _listed(self) -> RemoteRepository:
        remote = arrange(await self._bucket.listing(), self._bounds, self._single_model)
        refusals = (f"model '{name}' is not taken: {why}" for name, why in remote.refused.items())
        told = frozenset((*remote.problems, *refusals))
        for text in sorted(told - self._said):
            _log.warning("object store", repository=str(self._url), problem=text)
        self._said = told
        return remote

    async def _download(self, plan: SyncPlan) -> dict[str, str]:
        """Bring what is lacking. Returns the models of which an object could not be had, and why.

        Raises StorageFault for what concerns the others too."""
        lacking: dict[RemoteObject, str] = {}
        for model in plan.take:
            for each in await asyncio.to_thread(self._mirror.lacking, model):
                lacking[each] = model.name
        slots = asyncio.Semaphore(self._config.parallel_downloads)
        outcomes: list[tuple[str, StorageFault]] = []
        async with asyncio.TaskGroup() as tasks:
            for each, name in lacking.items():
                await slots.acquire()
                if any(fault.reason in _OF_THE_STORE for _, fault in outcomes):
                    slots.release()
                    break
                tasks.create_task(self._fetch(each, name, slots, outcomes))
        failed: dict[str, str] = {}
        for name, fault in outcomes:
            if fault.reason in _OF_THE_STORE:
                raise fault
            self._failures[fault.reason] += 1
            failed[name] = MOVING if fault.reason == "changed" else fault.message
        return failed

    async def _fetch(
        self,
        wanted: RemoteObject,
        name: str,
        slots: asyncio.Semaphore,
        outcomes: list[tuple[str, StorageFault]],
    ) -> None:
        async with AsyncExitStack() as resources:
            resources.callback(slots.release)
            try:
                draft = await asyncio.to_thread(self._mirror.draft)
                resources.callback(self._mirror.discard, draft)
                await self._bucket.fetch(wanted, draft)
                await asyncio.to_thread(self._mirror.keep, draft, wanted)
                self._downloaded_bytes += wanted.size
            except StorageFault as fault:
                outcomes.append((name, fault))
            except OSError as error:
                text = f"{self._url}: what came cannot be written: {error.strerror}"
                outcomes.append((name, StorageFault("disk", text)))

    async def _failed(self, fault: StorageFault) -> float:
        self._failures[fault.reason] += 1
        self._failed_in_turn += 1
        if fault.message != self.trouble:
            keeping = await asyncio.to_thread(self._copies)
            _log.warning(
                "object store: what serves keeps serving" if keeping else "object store",
                repository=str(self._url),
                problem=fault.message,
                models_copied=keeping,
            )
            if keeping:
                self.arrived.set()
        self.trouble = fault.message
        self.waiting = dict.fromkeys(self.waiting, fault.message)
        back_off_s = _FIRST_BACK_OFF_S * 2.0 ** min(self._failed_in_turn - 1, 16)
        return min(back_off_s, max(self._config.poll_interval, _FIRST_BACK_OFF_S), _LONGEST_BACK_OFF_S)

    def _copies(self) -> int:
        try:
            return len(self._mirror.local())
        except OSError:
            return 0

    def observe(self) -> StorageObservation:
        models: list[RemoteModel] = list(self._held.models.values())
        last = self._last_success_s
        return StorageObservation(
            repository=str(self._url),
            objects=sum(len(model.files) for model in models),
            bytes=sum(model.size_bytes for model in models),
            age_s=None if last is None else time.monotonic() - last,
            looks=self._looks,
            downloaded_bytes=self._downloaded_bytes,
            failures=self._failures.copy(),
        )
