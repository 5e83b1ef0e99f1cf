"""What the edge settles about a call before its message is read: deadline, carrier of the trace."""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc.aio

from onnxd.grpc_frontend.boundary import Context


def deadline_s(context: Context) -> float | None:
    """The caller's deadline in seconds of time.monotonic(); None = it set none."""
    remaining_s = context.time_remaining()
    return None if remaining_s is None else time.monotonic() + remaining_s


def carrier(context: Context) -> Mapping[str, str]:
    """The call's text metadata, for trace propagation."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


async def messages(context: Context) -> AsyncIterator[bytes]:
    """What the caller sends on a stream, until it half-closes."""
    read: Any = context.read  # its stub leaves out EOF
    while (data := await read()) is not grpc.aio.EOF:
        yield data
