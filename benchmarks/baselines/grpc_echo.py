"""A bare grpc.aio server on uvloop that answers every call with the bytes it was sent, unparsed."""

import asyncio
import signal
from typing import Any, cast

import grpc.aio
import uvloop


async def echo(data: bytes, _: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
    """The message, back."""
    return data


async def echo_stream(_: Any, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    """Each message, back."""
    read: Any = context.read  # its stub leaves out EOF
    while (data := await read()) is not grpc.aio.EOF:
        await context.write(data)


class EveryMethod(grpc.GenericRpcHandler):
    """Any path leads to an echo: one whose name has "Stream" in it to that of streams."""

    def __init__(self) -> None:
        self._unary: Any = grpc.unary_unary_rpc_method_handler(cast(Any, echo))
        self._stream: Any = grpc.stream_stream_rpc_method_handler(cast(Any, echo_stream))

    def service(self, details: Any) -> Any:
        return self._stream if "Stream" in details.method else self._unary


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
