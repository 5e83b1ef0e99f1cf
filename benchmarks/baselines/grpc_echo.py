"""A bare grpc.aio server on uvloop that answers every call with the bytes it was sent, unparsed."""

from typing import Any, cast

import grpc.aio

from benchmarks.baselines.listening import run, stay_with


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


if __name__ == "__main__":
    run(stay_with(EveryMethod()))
