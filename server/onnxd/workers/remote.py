"""The server as a whole, asked from one of its workers: the repository, and what all know together."""

import asyncio
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from onnxd.errors import ServerDraining, Unavailable
from onnxd.messages import Principal
from onnxd.protocol.batching_document import BatchingReport
from onnxd.protocol.documents import StatisticsRow
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.protocol.shared_memory import Registration
from onnxd.repository.catalog import IndexEntry
from onnxd.repository.served import ServedVersion
from onnxd.telemetry.log_settings import LogChange
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.trace_settings import TraceChange
from onnxd.workers.batching import merged
from onnxd.workers.channel import Document, Gone
from onnxd.workers.orders import Brought
from onnxd.workers.relay import from_json, to_json
from onnxd.workers.standing import LOG, REGISTER, TRACE, UNREGISTER

_CONTROL_S: Final = 3600.0
"""A load waits for those before it, and its trial may take minutes."""
_ASK_S: Final = 30.0


class Asks(Protocol):
    """Channel is the real one."""

    async def ask(self, what: str, document: Document | None = None, *, within_s: float) -> Document: ...


class Supervisor:
    """Questions to it. Raises what it raises, and Unavailable when it does not answer."""

    def __init__(self, channel: Asks) -> None:
        self._channel = channel

    async def ask(self, what: str, document: Document | None = None, within_s: float = _ASK_S) -> Any:
        try:
            return (await self._channel.ask(what, document, within_s=within_s)).get("answer")
        except TimeoutError as error:
            raise Unavailable(
                f"the server's other workers have not answered within {within_s:g} s", retry_after_s=1.0
            ) from error
        except Gone as error:
            raise ServerDraining("the server is shutting down", retry_after_s=1.0) from error


class RemoteControl:
    """The control plane: the supervisor's lifecycle."""

    def __init__(self, supervisor: Supervisor, *, overrides: bool, state_dir: Path) -> None:
        """`state_dir`: where files are put that a load brings."""
        self._supervisor = supervisor
        self.overrides_permitted: Final = overrides
        self._state_dir = state_dir

    async def index(self) -> tuple[IndexEntry, ...]:
        return from_json(tuple[IndexEntry, ...], await self._supervisor.ask("index"))

    async def load(self, name: str, given: LoadOverride | None = None) -> None:
        if given is None:
            await self._supervisor.ask("load", {"name": name}, _CONTROL_S)
            return
        brought = await asyncio.to_thread(put_down, self._state_dir, given)
        try:
            await self._supervisor.ask(
                "load", {"name": name, "brought": to_json(Brought, brought)}, _CONTROL_S
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, brought.directory, ignore_errors=True)

    async def rollback(self, name: str) -> None:
        await self._supervisor.ask("rollback", {"name": name}, _CONTROL_S)

    async def unload(self, name: str) -> None:
        await self._supervisor.ask("unload", {"name": name}, _CONTROL_S)


def put_down(state_dir: Path, given: LoadOverride) -> Brought:
    """What a load brought, on the disk: a frame between processes has not the room. Blocks."""
    # Of a name that the store removes, should nobody else be left to.
    directory = state_dir / "snapshots" / f".partial-brought-{secrets.token_hex(8)}"
    directory.mkdir(mode=0o700)
    names = {}
    for index, (name, content) in enumerate(given.files.items()):
        names[name] = str(index)
        (directory / names[name]).write_bytes(content)
    return Brought(given.config, str(directory), names)


def pick_up(brought: Brought) -> LoadOverride:
    """The inverse. Blocks."""
    directory = Path(brought.directory)
    return LoadOverride(
        brought.config, {name: (directory / file).read_bytes() for name, file in brought.files.items()}
    )


class RemoteFleet:
    """All workers, by way of the supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def observe(self) -> Observation:
        """What all have seen together, and what they use."""
        return from_json(Observation, await self._supervisor.ask("observe"))

    async def statistics(self, versions: Sequence[ServedVersion]) -> Sequence[StatisticsRow]:
        seen = {(each.model, each.version): each for each in (await self.observe()).versions}
        rows = []
        for served in versions:
            name, number = served.spec.name, served.spec.version
            known = seen.get((name, number), served.observe())
            rows.append(StatisticsRow(name, number, known.statistics, known.memory.get("resident", 0)))
        return rows

    async def batching(self, served: ServedVersion) -> BatchingReport:
        asked = {"model": served.spec.name, "version": served.spec.version}
        return merged(from_json(list[BatchingReport], await self._supervisor.ask("batching", asked)))

    async def change_trace(self, change: TraceChange, model: str = "") -> None:
        if change:
            await self._change(TRACE, {"model": model, "change": dict(change)})

    async def change_log(self, change: LogChange) -> None:
        if change:
            await self._change(LOG, {"change": dict(change)})

    async def register(self, principal: Principal, name: str, wanted: Registration, *, local: bool) -> None:
        await self._change(
            REGISTER,
            {"principal": principal.name, "name": name, "wanted": list(wanted), "local": local},
        )

    async def unregister(self, principal: Principal, name: str | None, *, local: bool) -> None:
        await self._change(UNREGISTER, {"principal": principal.name, "name": name, "local": local})

    async def _change(self, what: str, document: Document) -> None:
        await self._supervisor.ask("change", {"what": what, "with": document})
