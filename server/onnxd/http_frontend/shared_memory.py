"""The shared memory extensions: regions of the system's, and the refusal of CUDA's."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from onnxd.errors import InvalidName
from onnxd.fleet import Fleet
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call, Exchange, Handler, Route
from onnxd.http_frontend.responses import json_response
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.shared_memory import (
    cuda_is_not_supported,
    read_registration,
    status_document,
    unknown_region,
)
from onnxd.security.peer import is_loopback
from onnxd.shared_memory.service import SharedMemory


@dataclass(frozen=True, slots=True)
class SharedMemoryHandlers:
    """What a client registers, and forgets."""

    shared_memory: SharedMemory
    fleet: Fleet
    body: BodyReader
    limits: ProtocolLimits

    def routes(self) -> tuple[Route, ...]:
        """Of each kind: status and unregister for one region or all, register for one."""
        system, cuda = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
        return (
            *_routes("GET", system, "status", self.status),
            *_routes("POST", system, "register", self.register),
            *_routes("POST", system, "unregister", self.unregister),
            *_routes("GET", cuda, "status", self.cuda_status),
            *_routes("POST", cuda, "register", self.cuda_register),
            *_routes("POST", cuda, "unregister", self.cuda_unregister),
        )

    async def status(self, call: Call) -> web.Response:
        rows = self.shared_memory.status(call.caller.principal, call.region or None, local=is_local(call))
        return json_response(status_document(rows))

    async def register(self, call: Call) -> web.Response:
        document = await self._object(call)
        if not call.region:
            raise InvalidName("expected the name of a region in the path: .../region/NAME/register")
        wanted = read_registration(document)
        await self.fleet.register(call.caller.principal, call.region, wanted, local=is_local(call))
        return json_response({})

    async def unregister(self, call: Call) -> web.Response:
        await self.body.read(call)
        await self.fleet.unregister(call.caller.principal, call.region or None, local=is_local(call))
        return json_response({})

    # CUDA: there never is a region, and to ask or to forget is no mistake: perf_analyzer begins with it.

    async def cuda_status(self, call: Call) -> web.Response:
        if call.region:
            raise unknown_region(call.region)
        return json_response([])

    async def cuda_register(self, call: Call) -> web.Response:
        await self._object(call)
        raise cuda_is_not_supported(call.region)

    async def cuda_unregister(self, call: Call) -> web.Response:
        await self.body.read(call)
        return json_response({})

    async def _object(self, call: Call) -> dict[str, Any]:
        return await self.body.read_object(call, self.limits)


def is_local(call: Exchange) -> bool:
    """Whether the caller is on this machine. A web page on it is not: it runs for somebody else."""
    return is_loopback(call.peer) and "Origin" not in call.headers


def _routes(method: str, root: str, verb: str, handler: Handler) -> tuple[Route, Route]:
    paths = (f"{root}/{verb}", f"{root}/region/{{region}}/{verb}")
    one, other = (Route(method, path, handler, "shared_memory") for path in paths)
    return one, other
