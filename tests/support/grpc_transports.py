"""Which transport the gRPC servers of tests have: the default one, or each in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Literal

from onnxd.grpc_frontend.config import GrpcConfig

Transport = Literal["native", "grpcio"]

TRANSPORTS: Final[tuple[Transport, ...]] = ("native", "grpcio")
DEFAULT: Final[Transport] = GrpcConfig().transport
_chosen: list[Transport] = [DEFAULT]


@contextmanager
def over(transport: Transport) -> Iterator[Transport]:
    """Servers that are started inside have it."""
    _chosen.append(transport)
    try:
        yield transport
    finally:
        _chosen.remove(transport)


def on_transport(config: GrpcConfig) -> GrpcConfig:
    """A config with the transport that is chosen."""
    return replace(config, transport=_chosen[-1])
