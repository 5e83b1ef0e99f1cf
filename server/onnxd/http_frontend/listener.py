"""One port that HTTP is spoken on: how listening begins and ends, whoever answers."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.connection import Connections, require_compiled_parser
from onnxd.http_frontend.lane.lanes import Lanes
from onnxd.http_frontend.lane.service import LaneService

_LAST_CALL_S: Final = 0.05
_SHORTEST_WAIT_S: Final = 0.01
_HANDSHAKE_S: Final = 10.0

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class PortTaken(OSError):
    """The port cannot be listened on. For the operator at start-up."""


class Listener:
    """Listens from `open` to `stop`."""

    def __init__(
        self,
        handler: Handler,
        config: HttpConfig,
        host: str,
        port: int,
        *,
        flag: str,
        tls: ssl.SSLContext | None,
        lane: LaneService | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        """The bounds are `config`'s, the port is not. `flag` is how the operator chooses another. `lane`:
        what answers requests without the handler, where it can; None = nothing. `sock`: one that is bound
        already, in place of host and port."""
        self._lane = lane
        self._lanes: Lanes | None = None
        self._sock = sock
        self._tls = tls
        self._handler = handler
        self._config = config
        self._host = host
        self._flag = flag
        self._connections: Connections | None = None
        self._listener: asyncio.Server | None = None
        self.port = port
        """The port that is listened on; known once it is open. 0 = it is a Unix socket."""

    @property
    def open_connections(self) -> int:
        return 0 if self._connections is None else len(self._connections.open)

    @property
    def lanes(self) -> Lanes | None:
        """What answers without the handler; None = nothing does, or it is not open yet."""
        return self._lanes

    @property
    def requests_through_aiohttp(self) -> int:
        """So far; the others have taken the lane."""
        return 0 if self._connections is None else self._connections.requests_count or 0

    async def open(self) -> None:
        """Raises PortTaken, and RuntimeError when aiohttp's compiled parser is missing."""
        require_compiled_parser()
        self._connections = Connections(self._handler, self._config)
        if self._lane is not None:
            self._lanes = Lanes(self._lane, self._connections)
        if self._sock is not None:
            self._listener = await self.listen_on(self._sock)
            self.port = 0 if self._sock.family is socket.AF_UNIX else self._sock.getsockname()[1]
            return
        try:
            self._listener = await self._accept(host=self._host, port=self.port)
        except OSError as error:
            raise PortTaken(
                f"cannot listen for HTTP on {self._host}:{self.port} ({error.strerror or error}); "
                f"choose another port with {self._flag}, or 0 for any that is free"
            ) from error
        self.port = self._listener.sockets[0].getsockname()[1]

    async def listen_on(self, sock: socket.socket) -> asyncio.Server:
        """Accept on a socket that is bound, as on the listener's own, until the server is closed."""
        return await self._accept(sock=sock)

    async def _accept(self, **where: Any) -> asyncio.Server:
        if self._connections is None:
            raise RuntimeError("open the listener first")
        return await asyncio.get_running_loop().create_server(
            self._lanes or self._connections,
            **where,
            backlog=self._config.backlog,
            ssl=self._tls,
            ssl_handshake_timeout=_HANDSHAKE_S if self._tls else None,
        )

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, and end what has not finished after `grace_s` seconds. May be repeated."""
        listener, self._listener = self._listener, None
        if listener is None or self._connections is None:
            return
        ends_s = time.monotonic() + grace_s
        listener.close()
        # A client may have sent a request before it could know: what is on its way counts as in flight, and
        # its answer closes the connection.
        await asyncio.sleep(min(grace_s, _LAST_CALL_S))
        self._connections.pre_shutdown()
        async with asyncio.TaskGroup() as ends:
            if self._lanes is not None:
                self._lanes.close_idle()
                ends.create_task(self._lanes.shutdown(max(grace_s, _SHORTEST_WAIT_S)))
            # aiohttp waits so long for the requests, and once more as long before it cancels them; 0 is for
            # ever.
            ends.create_task(self._connections.shutdown(max(grace_s / 2, _SHORTEST_WAIT_S)))
        await self._connections.open.wait_closed(max(ends_s - time.monotonic(), _SHORTEST_WAIT_S))
