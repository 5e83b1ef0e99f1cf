"""The sockets of all workers: bound once, by the supervisor, which keeps them for as long as it serves.

Each worker has sockets of its own on the common ports (SO_REUSEPORT), over which the kernel spreads
connections evenly. The supervisor holds them open as well, so that what has connected to a worker that dies
is not reset: another worker accepts there until the next one is ready.
"""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from onnxd.grpc_frontend.transport import PortTaken as GrpcPortTaken
from onnxd.http_frontend.listener import PortTaken as HttpPortTaken
from onnxd.http_frontend.metrics import DEFAULT_PORT
from onnxd.settings.server_settings import ServerSettings

_Address = tuple[Any, ...]
"""As the socket module has it: host, port, and for IPv6 two numbers more."""

HTTP: Final = "http"
GRPC: Final = "grpc"
METRICS: Final = "metrics"


@dataclass(frozen=True, slots=True)
class Port:
    """One port, and for each worker a socket for each address that the host has."""

    number: int
    of_worker: Sequence[Sequence[socket.socket]]


class SharedPorts:
    """A context manager: the ports are ours while it is open."""

    def __init__(self, settings: ServerSettings, workers: int) -> None:
        self._settings = settings
        self._workers = workers
        self._resources = ExitStack()
        self.ports: dict[str, Port] = {}
        """By protocol."""
        self.metrics_taken = False
        """The port for metrics is another program's, and nobody insists on it: there is none."""

    def __enter__(self) -> Self:
        """Raises PortTaken, of HTTP or of gRPC."""
        settings = self._settings
        with ExitStack() as resources:
            http, grpc, metrics = settings.http.port, settings.grpc.port, settings.metrics.port
            self.ports[HTTP] = self._bind(resources, http, "HTTP", "--http-port", HttpPortTaken)
            self.ports[GRPC] = self._bind(resources, grpc, "gRPC", "--grpc-port", GrpcPortTaken)
            if settings.metrics.enabled:
                try:
                    chosen = DEFAULT_PORT if metrics is None else metrics
                    self.ports[METRICS] = self._bind(
                        resources, chosen, "HTTP", "--metrics-port", HttpPortTaken
                    )
                except HttpPortTaken:
                    if metrics is not None:
                        raise
                    self.metrics_taken = True
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the ports up, once workers that have them are to end. May be repeated."""
        self._resources.close()

    def descriptors(self) -> dict[str, list[list[int]]]:
        """By protocol, for each worker."""
        return {
            protocol: [[sock.fileno() for sock in sockets] for sockets in port.of_worker]
            for protocol, port in self.ports.items()
        }

    def _bind(
        self, resources: ExitStack, number: int, protocol: str, flag: str, taken: type[OSError]
    ) -> Port:
        host = self._settings.host
        try:
            found = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = dict.fromkeys((family, tuple(address)) for family, _, _, _, address in found)
            rows: list[list[socket.socket]] = [[] for _ in range(self._workers)]
            for family, address in addresses:
                number = _probe(family, _on_port(address, number))
                for row in rows:
                    sock = _bound(family, _on_port(address, number), shared=True)
                    row.append(resources.enter_context(sock))
        except OSError as error:
            raise taken(
                f"cannot listen for {protocol} on {host}:{number} ({error.strerror or error}); "
                f"choose another port with {flag}, or 0 for any that is free"
            ) from error
        return Port(number, rows)


def _on_port(address: _Address, number: int) -> _Address:
    return (address[0], number, *address[2:])


def _probe(family: socket.AddressFamily, address: _Address) -> int:
    """The port, which is nobody's, not even another server's that would share it; for 0, one that is free.
    Raises OSError."""
    with _bound(family, address, shared=False) as probe:
        probe.listen(1)
        return int(probe.getsockname()[1])


def _bound(family: socket.AddressFamily, address: _Address, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
