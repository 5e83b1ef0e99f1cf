"""The status with which the server ended a stream, in spite of grpc.aio.

When a server ends a stream while we still write, the failed write's INTERNAL replaces the server's own
status, or comes shortly before it (grpc issue 36066, seen with 1.85). So the first status is kept, and when
that is the failed write's, the server's is waited for.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

T = TypeVar("T")

_FAILED_WRITE: Final = "Internal error from Core"
_PATIENCE: Final = 0.1  # seconds; the server's status is already on this machine
_STEP: Final = 0.001


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended."""

    code: grpc.StatusCode
    details: str
    trailing: tuple[tuple[str, str | bytes], ...]


class FirstStatus:
    """Watches one call from its start."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: Status | None = None
        call.add_done_callback(self._keep)

    async def get(self) -> Status:
        """To be asked once the call has ended."""
        waited = 0.0
        status = self._first
        while status is None or (status.details == _FAILED_WRITE and waited < _PATIENCE):
            await asyncio.sleep(_STEP)
            waited += _STEP
            status = Status(
                await self._call.code(),
                await self._call.details(),
                tuple(await self._call.trailing_metadata() or ()),
            )
        return status

    def _keep(self, call: Any) -> None:
        self._first = Status(
            _settled(call.code()), _settled(call.details()), tuple(_settled(call.trailing_metadata()) or ())
        )


def _settled(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for: a done callback cannot await."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a finished gRPC call had no status")
