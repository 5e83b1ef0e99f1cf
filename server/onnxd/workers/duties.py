"""What a worker does when it is told to, by the supervisor alone."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from onnxd.app import Fronts
from onnxd.messages import Principal
from onnxd.protocol.batching_document import BatchingReport
from onnxd.protocol.shared_memory import Registration
from onnxd.repository.batching_report import batching_report
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.workers.channel import Answer, Document
from onnxd.workers.doors import Doors
from onnxd.workers.mirror import Mirror
from onnxd.workers.relay import to_json
from onnxd.workers.standing import LOG, REGISTER, TRACE, UNREGISTER
from onnxd.workers.totals import Report


class Duties:
    """Belongs to the loop's thread. Its parts come to be one after the other, as `work` opens them."""

    def __init__(self) -> None:
        self.begun: Final[asyncio.Future[Document]] = asyncio.get_running_loop().create_future()
        """With the first word: settings and sockets."""
        self.may_listen: Final = asyncio.Event()
        self.listens: Final = asyncio.Event()
        self.stopping: Final = asyncio.Event()
        self.mirror: Mirror | None = None
        self.doors: Doors | None = None
        self.fronts: Fronts | None = None
        self._open = False
        self._whole = False
        self._awaited = ""
        self._announcing = asyncio.Lock()
        self._settings: tuple[SharedMemory, RunTimeSettings] | None = None
        self._early: list[Callable[[], None]] = []
        """Changes of settings that came before there was anything to change."""

    def settle(self, shared_memory: SharedMemory, run_time: RunTimeSettings) -> None:
        """There is something to change now."""
        self._settings = shared_memory, run_time
        for change in self._early:
            change()
        self._early.clear()

    def answer(self, what: str, document: Document) -> Answer:
        """One order or question. Raises what it cannot do."""
        match what:
            case "begin":
                self.begun.set_result(document)
            case "prepare" | "discard" | "reconfigure" | "model" | "forget":
                order: Callable[[Document], Answer] = getattr(self._there(self.mirror), what)
                return order(document)
            case "listen":
                self._open = document["open"]
                self.may_listen.set()
                return self._listen()
            case "open" | "whole":
                self._open = self._open or what == "open"
                self._whole = document.get("whole", self._whole)
                self._awaited = document.get("awaited", "")
                return self.announce()
            case "cover":
                return self._cover(document["worker"])
            case "uncover":
                self._there(self.doors).uncover(document["worker"])
            case "report":
                return self.report()
            case "batching":
                return self._batching(document)
            case "drain":
                self.stopping.set()
                self.may_listen.set()
            case _:
                self._change(what, document)
        return None

    async def announce(self) -> Document:
        """Tell those who ask for its health."""
        async with self._announcing:
            if self.fronts is not None and not self.stopping.is_set():
                if self._open:
                    self.fronts.inference.open()
                self.fronts.inference.whole = self._whole
                self.fronts.inference.awaited = lambda: self._awaited
                await self.fronts.grpc.announce(serving=self._open and self._whole)
        return {}

    async def report(self) -> Document:
        """What it has seen until now."""
        mirror, fronts = self._there(self.mirror), self._there(self.fronts)
        at_ns = time.monotonic_ns()
        loads = [(each.spec.name, each.spec.version, load) for load, each in mirror.serving()]
        broken = [(load, each.broken) for load, each in mirror.serving() if each.broken]
        # Exemplars stay with the worker that has the trace.
        seen = replace(await fronts.seen.own(), exemplars={})
        document: Document = to_json(Report, Report(at_ns, seen, tuple(loads), tuple(broken)))
        return document

    async def _listen(self) -> Document:
        await self.listens.wait()
        return {}

    async def _cover(self, worker: int) -> Document:
        await self._there(self.doors).cover(self._there(self.fronts), worker)
        return {}

    async def _batching(self, document: Document) -> Document:
        served = self._there(self.fronts).inference.served(document["model"], document["version"])
        return {"report": to_json(BatchingReport, batching_report(served))}

    def _change(self, what: str, document: Document) -> None:
        if self._settings is None:
            self._early.append(lambda: self._change(what, document))
            return
        shared_memory, run_time = self._settings
        if what == TRACE:
            run_time.change_trace(document["change"], document["model"])
        elif what == LOG:
            run_time.change_log(document["change"])
        elif what in (REGISTER, UNREGISTER):
            principal, name, local = Principal(document["principal"]), document["name"], document["local"]
            if what == REGISTER:
                wanted = Registration(*document["wanted"])
                shared_memory.register(principal, name, wanted, local=local)
            else:
                shared_memory.unregister(principal, name, local=local)
        else:
            raise ValueError(f"a worker does not know what '{what}' is")

    @staticmethod
    def _there(part: Any) -> Any:
        if part is None:
            raise RuntimeError("it was told to do something before it could")
        return part
