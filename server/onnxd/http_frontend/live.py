"""GET /v2/events: what the server is doing, once a second for as long as somebody watches."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import orjson
from aiohttp import web
from multidict import CIMultiDict

from onnxd.errors import ServerDraining, Unavailable
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.repository import index_row
from onnxd.inference import InferenceService
from onnxd.protocol.documents import repository_index
from onnxd.protocol.live_document import BOUNDS, Document, live_document
from onnxd.repository.control_plane import ControlPlane
from onnxd.repository.served import ServedVersion
from onnxd.security.gate import may_see
from onnxd.telemetry.machine import read_process
from onnxd.telemetry.observation import Observation

EVERY_S: Final = 1.0
MOST_WATCHERS: Final = 32
"""Each costs some hundred microseconds a second for each model."""
_HEADERS: Final = CIMultiDict(
    {"Server": "onnxd", "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
)


class LiveEvents:
    """The watchers of one listener."""

    def __init__(
        self, inference: InferenceService, lifecycle: ControlPlane, observe: Callable[[], Observation]
    ) -> None:
        self._inference = inference
        self._lifecycle = lifecycle
        self._observe = observe
        self._watchers = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every stream: they have no end of their own, and would hold up a drain."""
        self._closing.set()

    async def events(self, call: Call) -> web.StreamResponse:
        """Event `bounds` first, then an event `moment` each second. Raises Unavailable for one watcher too
        many, and ServerDraining."""
        if self._closing.is_set():
            raise ServerDraining("the server is shutting down", retry_after_s=1.0)
        if self._watchers >= MOST_WATCHERS:
            raise Unavailable(
                f"{self._watchers} others watch already, as many as may; close one", retry_after_s=5.0
            )
        self._watchers += 1
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(call.request)
            await response.write(_event("bounds", BOUNDS))
            while not self._closing.is_set():
                await response.write(_event("moment", await self._moment(call)))
                await self._pause()
            await response.write_eof()
        finally:
            self._watchers -= 1
        return response

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY_S):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def _moment(self, call: Call) -> Document:
        index = await self._lifecycle.index()
        entries = [entry for entry in index if may_see(call.caller, "stats", entry.name)]
        serving = self._inference.serving(None, None)
        return live_document(
            self._observe(),
            repository_index(map(index_row, entries)),
            time_s=time.time(),
            ready=self._inference.ready,
            process=await asyncio.to_thread(read_process),
            about={(served.spec.name, served.spec.version): _about(served) for served in serving},
        )


def _about(served: ServedVersion) -> Document:
    return {
        "providers": list(served.report.providers),
        "threads": served.report.threads,
        "max_batch_size": served.spec.max_batch_size,
        "content": served.identity.rpartition(":")[2][:12],
    }


def _event(kind: str, document: Document) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(document))
