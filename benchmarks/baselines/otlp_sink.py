"""An OTLP collector that takes everything and keeps nothing: it answers each export with an empty message."""

import asyncio
import signal
from typing import Any, cast

import grpc.aio
import uvloop


async def take(_: bytes, __: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
    """Success, whatever came."""
    return b""


class EveryMethod(grpc.GenericRpcHandler):
    """Any path leads there."""

    def __init__(self) -> None:
        self._handler: Any = grpc.unary_unary_rpc_method_handler(cast(Any, take))

    def service(self, _: Any) -> Any:
        return self._handler


async def main() -> None:
    """Listen, say where, and end on SIGTERM."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([EveryMethod()])
    print("grpc", server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
