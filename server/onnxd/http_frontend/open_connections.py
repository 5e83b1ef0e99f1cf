"""How many connections there are, and may be."""

import asyncio
from typing import Final

from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.reader_watch import reset
from onnxd.protocol.json_response import encode_error
from onnxd.security.rates import network_of


def _ready_made(status: bytes, message: str) -> bytes:
    """A refusal of a connection, sent before anything is read."""
    body = encode_error(message)
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
    )


_TOO_MANY: Final = _ready_made(
    b"503 Service Unavailable", "the server has as many connections as it may; try again later"
)
_TOO_MANY_OF_ONE: Final = _ready_made(
    b"429 Too Many Requests",
    "this address has as many connections as it may (http.max_connections_per_address); use those again",
)


class OpenConnections:
    """The connections of one listener, each known by its protocol, whichever kind that is."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._open: dict[asyncio.BaseProtocol, asyncio.Transport] = {}
        self._addresses: dict[asyncio.BaseProtocol, str] = {}
        """Whose each connection is; empty where those of an address are not limited."""
        self._of_address: dict[str, int] = {}
        """How many each address has."""
        self._all_closed: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> bool:
        """A connection is there. False = one too many: it has been told so, and is being closed."""
        self._open[protocol] = transport
        most = self._config.max_connections_per_address
        if len(self._open) > self._config.max_connections:
            return _refuse(transport, _TOO_MANY)
        if most:
            address = _address_of(transport)
            count = self._of_address.get(address, 0)
            if count >= most:
                return _refuse(transport, _TOO_MANY_OF_ONE)
            self._of_address[address] = count + 1
            self._addresses[protocol] = address
        return True

    def leave(self, protocol: asyncio.BaseProtocol) -> None:
        """It is gone. Does nothing for one that is not known."""
        self._open.pop(protocol, None)
        address = self._addresses.pop(protocol, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
        if self._all_closed is not None and not self._open and not self._all_closed.done():
            self._all_closed.set_result(None)

    def pass_on(self, old: asyncio.BaseProtocol, new: asyncio.BaseProtocol) -> None:
        """The same connection has another protocol."""
        self._open[new] = self._open.pop(old)
        if old in self._addresses:
            self._addresses[new] = self._addresses.pop(old)

    async def wait_closed(self, timeout_s: float) -> None:
        """Wait until the last answers are sent, and cut those whose readers do not read."""
        if not self._open:
            return
        self._all_closed = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_closed
        except TimeoutError:
            for transport in tuple(self._open.values()):
                reset(transport)


def _refuse(transport: asyncio.Transport, answer: bytes) -> bool:
    transport.write(answer)
    transport.close()
    return False


def _address_of(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return network_of(peer[0]) if isinstance(peer, tuple) else ""
