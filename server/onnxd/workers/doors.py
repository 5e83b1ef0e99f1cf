"""The sockets of one worker, and of those that it stands in for."""

import asyncio
import socket
from collections.abc import Mapping, Sequence

from onnxd.app import Fronts, Sockets
from onnxd.grpc_frontend.native.transport import NativeTransport
from onnxd.http_frontend.listener import Listener
from onnxd.workers.sockets import GRPC, HTTP, METRICS

Descriptors = Mapping[str, Sequence[Sequence[int]]]
"""By protocol, for each worker, one for each address of the host."""


class Doors:
    """Where one worker accepts connections. grpcio binds for itself; what is here is the rest."""

    def __init__(self, number: int, descriptors: Descriptors) -> None:
        """`descriptors` are inherited, and from now on this one's."""
        self._number = number
        self._sockets = {
            protocol: [[socket.socket(fileno=descriptor) for descriptor in row] for row in rows]
            for protocol, rows in descriptors.items()
        }
        self._covered: dict[int, list[asyncio.Server]] = {}

    @property
    def own(self) -> Sockets:
        """On the host's first address."""
        first = {protocol: rows[self._number][0] for protocol, rows in self._sockets.items()}
        return Sockets(
            first[HTTP].dup(), first[GRPC].dup(), first[METRICS].dup() if METRICS in first else None
        )

    async def open(self, fronts: Fronts) -> None:
        """The front ends listen on the first address; now on the others too."""
        self._covered[self._number] = await self._accept(fronts, self._number, first=1)

    async def cover(self, fronts: Fronts, worker: int) -> None:
        """Accept what comes to another worker, which is away."""
        if worker not in self._covered and self._sockets:
            self._covered[worker] = await self._accept(fronts, worker)

    def uncover(self, worker: int) -> None:
        """It is back."""
        for server in self._covered.pop(worker, ()):
            server.close()

    def close(self) -> None:
        """Nobody is waited for any more. May be repeated."""
        for worker in tuple(self._covered):
            self.uncover(worker)
        for rows in self._sockets.values():
            for sock in (sock for row in rows for sock in row):
                sock.close()
        self._sockets.clear()

    async def _accept(self, fronts: Fronts, worker: int, first: int = 0) -> list[asyncio.Server]:
        listeners: dict[str, Listener | NativeTransport] = {HTTP: fronts.http.listener}
        if isinstance(fronts.grpc.transport, NativeTransport):
            listeners[GRPC] = fronts.grpc.transport
        if fronts.metrics is not None:
            listeners[METRICS] = fronts.metrics.listener
        return [
            await listener.listen_on(sock.dup())
            for protocol, listener in listeners.items()
            for sock in self._sockets[protocol][worker][first:]
        ]
