"""What a soak does to its model while matches are played; a disturbance ends when the model is whole again.

A wait has an end: what does not happen within it is a failure of the server, and is entered as such.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from onnxd_client import AsyncClient, InvalidRequest, ServerError
from sim_core.soak.ledger import Window
from sim_core.soak.models import VERSIONS, Shelf

PATIENCE_S: Final = 60.0
"""For anything that the server must do; long, because a server under load is slow, not wrong."""
_LOOK_S: Final = 0.05
_MISSING_S: Final = 2.0
"""For matches to notice that a version is away; they may be between two rounds."""


@dataclass(slots=True)
class Disturber:
    """One at a time, in an order that the seed decides."""

    client: AsyncClient
    shelf: Shelf
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    """How often each was done."""

    async def run(self, seconds: float) -> None:
        """One of each at least, however short the time is, and then on until it is over."""
        rng = random.Random(self.seed)  # noqa: S311 - an order, not a secret
        clock = asyncio.get_running_loop()
        ends_s = clock.time() + seconds
        kinds = self._kinds()
        while True:
            names = list(kinds)
            rng.shuffle(names)
            for name in names:
                if self.done.keys() >= kinds.keys() and clock.time() >= ends_s:
                    return
                try:
                    await kinds[name](rng.choice(VERSIONS))
                except (ServerError, TimeoutError) as error:
                    self._fail(f"{name}: {str(error) or 'it did not come to an end'}")
                    return
                self.done[name] += 1

    async def finish(self) -> dict[int, int]:
        """New weights for all versions by one load; their fingerprints. The server's counters begin here."""
        fingerprints = {version: self.shelf.publish(version) for version in VERSIONS}
        try:
            await self.client.repository.load(self._model, deadline=PATIENCE_S)
        except ServerError as error:
            self._fail(f"last load: {error}")
        else:
            for version, fingerprint in fingerprints.items():
                self.shelf.ledger.confirm(version, fingerprint)
        return fingerprints

    def _kinds(self) -> dict[str, Callable[[int], Awaitable[None]]]:
        return {
            "reload by files": self._reload_by_files,
            "reload by API": self._reload_by_api,
            "broken model": self._break_model,
            "broken config": self._break_config,
            "unload by API": self._unload,
            "version removed": self._remove_version,
        }

    @property
    def _model(self) -> str:
        return self.shelf.ledger.model

    async def _reload_by_files(self, version: int) -> None:
        """It is noticed, and from an answer with the new weights on there is no other."""
        fingerprint = self.shelf.publish(version)
        ledger = self.shelf.ledger
        await self._until(
            lambda: ledger.answers[version, fingerprint] > 0, f"version {version} to be reloaded"
        )
        ledger.confirm(version, fingerprint)

    async def _reload_by_api(self, version: int) -> None:
        """When the load has returned, the new weights serve."""
        fingerprint = self.shelf.publish(version)
        await self.client.repository.load(self._model, deadline=PATIENCE_S)
        self.shelf.ledger.confirm(version, fingerprint)

    async def _break_model(self, version: int) -> None:
        """A load is refused, and what served goes on."""
        self.shelf.break_version(version)
        await self._refused(f"a broken model in version {version}")
        await self._reload_by_files(version)

    async def _break_config(self, version: int) -> None:
        self.shelf.write_config(broken=True)
        await self._refused("a broken config")
        self.shelf.write_config()
        await self._reload_by_api(version)

    async def _unload(self, version: int) -> None:
        """All its versions are away until it is loaded again."""
        with self._away(VERSIONS) as windows:
            await self.client.repository.unload(self._model, deadline=PATIENCE_S)
            await self._noticed(windows)
            await self._reload_by_api(version)

    async def _remove_version(self, version: int) -> None:
        """The others go on."""
        with self._away((version,)) as windows:
            self.shelf.remove(version)
            await self._until_index_lacks(version)
            await self._noticed(windows)
            await self._reload_by_files(version)

    @contextmanager
    def _away(self, versions: tuple[int, ...]) -> Iterator[list[Window]]:
        clock = asyncio.get_running_loop()
        windows = [self.shelf.ledger.open(version, clock.time()) for version in versions]
        try:
            yield windows
        finally:
            for window in windows:
                window.closed_s = clock.time()

    async def _noticed(self, windows: list[Window]) -> None:
        """Until matches have missed it, or a little while."""
        try:
            async with asyncio.timeout(_MISSING_S):
                await self._until(lambda: any(window.missed for window in windows), "anybody to miss it")
        except TimeoutError:
            return

    async def _refused(self, what: str) -> None:
        try:
            await self.client.repository.load(self._model, deadline=PATIENCE_S)
        except InvalidRequest:
            return
        self._fail(f"{what} was loaded")

    async def _until_index_lacks(self, version: int) -> None:
        key = (self._model, str(version))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                index = await self.client.repository.index(ready=True)
                if key not in {(entry.name, entry.version) for entry in index}:
                    return
                await asyncio.sleep(_LOOK_S)

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    if holds():
                        return
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}") from None

    def _fail(self, what: str) -> None:
        self.shelf.ledger.failures[f"{self._model}: {what}"] += 1
