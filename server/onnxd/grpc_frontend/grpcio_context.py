"""What handlers see of a call that grpcio carries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import grpc
from grpc.aio import EOF as LIBRARY_EOF
from grpc.aio import BaseError, UsageError

from onnxd.grpc_frontend.context import EOF, CallerLeft
from onnxd.grpc_frontend.status_code import StatusCode

_LIBRARY_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioContext:
    """A Context over grpc.aio's: its codes, its end of a stream and its errors are translated here."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        """`context`: a ServicerContext. Any: the stubs have it generic in messages, which are bytes here."""
        self._context = context

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """As Context."""
        metadata: Sequence[tuple[str, str | bytes]] | None = self._context.invocation_metadata()
        return metadata

    def peer(self) -> str:
        """As Context."""
        return str(self._context.peer())

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """As Context."""
        names: Mapping[str, Iterable[bytes]] = self._context.auth_context()
        return names

    def time_remaining(self) -> float | None:
        """As Context."""
        remaining_s: float | None = self._context.time_remaining()
        return remaining_s

    def set_trailing_metadata(self, metadata: Any) -> None:
        """As Context."""
        self._context.set_trailing_metadata(metadata)

    def disable_next_message_compression(self) -> None:
        """As Context."""
        self._context.disable_next_message_compression()

    async def read(self) -> Any:
        """As Context."""
        with _translated():
            data = await self._context.read()
        return EOF if data is LIBRARY_EOF else data

    async def write(self, message: Any) -> None:
        """As Context."""
        with _translated():
            await self._context.write(message)

    async def abort(self, code: StatusCode, details: str = "", trailing_metadata: Any = ()) -> Any:
        """As Context. Raises the library's AbortError, which it knows when it comes back."""
        await self._context.abort(_LIBRARY_CODES[code], details, trailing_metadata)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise  # a bug of ours
    except BaseError as error:
        raise CallerLeft(str(error)) from error
