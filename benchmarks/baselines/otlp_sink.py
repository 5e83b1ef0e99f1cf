"""An OTLP collector that takes everything and keeps nothing: it answers each export with an empty message."""

from typing import Any, cast

import grpc.aio

from benchmarks.baselines.listening import run, stay_with


async def take(_: bytes, __: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
    """Success, whatever came."""
    return b""


class EveryMethod(grpc.GenericRpcHandler):
    """Any path leads there."""

    def __init__(self) -> None:
        self._handler: Any = grpc.unary_unary_rpc_method_handler(cast(Any, take))

    def service(self, _: Any) -> Any:
        return self._handler


if __name__ == "__main__":
    run(stay_with(EveryMethod()))
