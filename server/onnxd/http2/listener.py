"""One port that HTTP/2 is spoken on: how listening begins and ends, whoever answers."""

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from onnxd.http2.config import Http2Config
from onnxd.http2.connection import Connection, Shared
from onnxd.http2.stream import StreamFactory

_CUT_S: Final = 5.0
"""For what is cut to be gone, which takes a turn of the loop."""
_chance: Final = random.SystemRandom()
"""Where in its tenth the age of a connection lies."""


class Listener:
    """An async context manager: it listens while it is open. Obeys ConnectionOwner."""

    def __init__(
        self,
        factory: StreamFactory,
        config: Http2Config,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        owner_of: Callable[[str], str] = str,
        sock: socket.socket | None = None,
    ) -> None:
        """`port` 0: any that is free. `tls` has to offer `h2` by ALPN. `owner_of`: whom an address counts as,
        where the connections of one are limited. `sock`: bound already, instead of host and port."""
        self._factory = factory
        self._config = config
        self._host = host
        self._tls = tls
        self._owner_of = owner_of
        self._sock = sock
        self._connections: dict[Connection, str] = {}
        self._of_owner: dict[str, int] = {}
        self._shared: Shared | None = None
        self._server: asyncio.Server | None = None
        self._none_left: asyncio.Future[None] | None = None
        self.port = port
        """The port that is listened on; known once it is open."""

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> "Listener":
        """Raises OSError when the port cannot be listened on."""
        self._shared = Shared(self._config, self._factory)
        self._server = await (
            self._accept(host=self._host, port=self.port)
            if self._sock is None
            else self.listen_on(self._sock)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def listen_on(self, sock: socket.socket) -> asyncio.Server:
        """Accept on a socket that is bound, as on its own, until that server is closed."""
        return await self._accept(sock=sock)

    async def _accept(self, **where: Any) -> asyncio.Server:
        loop, shared = asyncio.get_running_loop(), self._shared
        if shared is None:
            raise RuntimeError("open the listener first")
        return await loop.create_server(
            lambda: Connection(shared, self, loop, _chance.random()),
            **where,
            backlog=self._config.backlog,
            ssl=self._tls,
            ssl_handshake_timeout=self._config.handshake_timeout if self._tls else None,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0.0)

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, ask every client to go, and cut what has not gone after `grace_s` seconds. May be
        repeated."""
        server, self._server = self._server, None
        if server is None:
            return
        ends_s = time.monotonic() + grace_s
        server.close()
        # One turn, so that what has arrived counts as in progress.
        await asyncio.sleep(0)
        for connection in tuple(self._connections):
            connection.leave(grace_s)
        await self._wait_none_left(ends_s - time.monotonic())
        for connection in tuple(self._connections):
            connection.abort()
        await self._wait_none_left(_CUT_S)

    def made(self, connection: Connection, address: str) -> bool:
        most = self._config.max_connections_per_address
        owner = self._owner_of(address) if most else ""
        count = self._of_owner.get(owner, 0)
        self._connections[connection] = owner
        self._of_owner[owner] = count + 1
        beyond = len(self._connections) - self._config.max_connections
        if beyond > self._config.backlog:
            connection.abort()  # so many that there is no time for words
        return beyond <= 0 and (not most or count < most)

    def lost(self, connection: Connection) -> None:
        owner = self._connections.pop(connection)
        self._of_owner[owner] -= 1
        if not self._of_owner[owner]:
            del self._of_owner[owner]
        if self._none_left is not None and not self._connections and not self._none_left.done():
            self._none_left.set_result(None)

    async def _wait_none_left(self, timeout_s: float) -> None:
        if not self._connections or timeout_s <= 0:
            return
        self._none_left = asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._none_left
