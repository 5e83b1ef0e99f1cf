"""What every baseline does around its server: say where it listens, and stay until it is told to end."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import grpc.aio
import uvloop


async def stay(wire: str, port: int) -> None:
    """Print the wire and the port, as benchmarks.harness reads them; return on SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(wire, port, flush=True)
    await stopping.wait()


async def stay_with(handler: grpc.GenericRpcHandler) -> None:
    """A bare grpc.aio server that has this one handler."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await stay("grpc", port)
    await server.stop(0)


def run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop, as the server runs."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
