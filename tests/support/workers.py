"""The workers of a server, found as an operator would: among the children of its process."""

import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.support.grpc_server import GrpcCalls, grpc_calls
from tests.support.processes import children_of
from tests.support.server import ServerProcess

_NAME: Final = re.compile(r"onnxd:worker(\d+)")


def workers_of(server: ServerProcess) -> dict[int, int]:
    """Process ids by the number of the worker."""
    found = {}
    below = [below for child in children_of(server.process.pid) for below in _children_of(child)]
    for pid in below:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:  # it has just ended
            continue
        if match := _NAME.fullmatch(name):
            found[int(match[1])] = pid
    return found


def nursery_of(server: ServerProcess) -> int:
    """What they are forked from."""
    [pid] = {
        int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        for pid in workers_of(server).values()
    }
    return pid


def open_sockets(pid: int) -> int:
    """Connections and listening sockets of a process."""
    return sum(str(each.readlink()).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())


def _children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):  # it has just ended
        return children_of(pid)
    return []


@dataclass(frozen=True, slots=True)
class Connections:
    """Many, so that there is one to each worker: the kernel spreads them by a hash of both ends."""

    http: str
    sessions: list[aiohttp.ClientSession]
    calls: list[GrpcCalls]

    async def get(self, path: str) -> list[Any]:
        """The answer on each connection over HTTP."""
        return [await _json(session.get(f"{self.http}{path}")) for session in self.sessions]

    async def post(self, path: str, document: Any = None) -> list[Any]:
        return [
            await _json(session.post(f"{self.http}{path}", json=document or {})) for session in self.sessions
        ]

    async def ask(self, name: str, request: Any) -> list[Any]:
        """The answer on each connection over gRPC."""
        return [await each.ask(name, request) for each in self.calls]


@asynccontextmanager
async def connections(server: ServerProcess, count: int = 24) -> AsyncIterator[Connections]:
    """So many over each protocol, with two workers all to one of them once in eight million times."""
    async with AsyncExitStack() as resources:
        sessions = [
            await resources.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
            )
            for _ in range(count)
        ]
        calls = [await resources.enter_async_context(grpc_calls(server.grpc)) for _ in range(count)]
        yield Connections(server.http, sessions, calls)


async def _json(answering: Any) -> Any:
    async with answering as answer:
        return answer.status, await answer.json(content_type=None)
