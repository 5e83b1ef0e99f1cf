"""What carries calls to their handlers: grpc.aio's server (grpcio.py), or ours over HTTP/2 (native/)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from onnxd.grpc_frontend.context import Context


@dataclass(frozen=True, slots=True)
class Handler:
    """What serves a method."""

    serve: Callable[[Any, Context], Awaitable[Any]]
    """Of one message, (Received, context) to Parts; of a stream, (nothing, context), which reads and writes
    for itself."""
    streamed: bool


Handlers = dict[str, Handler]
"""By the path of the method: `/inference.GRPCInferenceService/ModelInfer`. They speak bytes."""


class PortTaken(OSError):
    """The port cannot be listened on. For the operator at start-up."""


def port_taken(address: str) -> PortTaken:
    return PortTaken(
        f"cannot listen for gRPC on {address}: it is in use, or not ours; choose another with --grpc-port, "
        "or 0 for any that is free"
    )


class Transport(Protocol):
    """A listener."""

    async def start(self, handlers: Handlers) -> int:
        """Listen; the port that it is. Raises PortTaken."""
        ...

    async def close(self) -> None:
        """Wait for the last handlers, once it is stopped. In the task that started it."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let those in progress finish, end them after `grace_s` seconds, close the
        port."""
        ...
