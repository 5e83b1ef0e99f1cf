"""What a call's handler sees of the transport, whichever carries it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import grpc

Received = bytes | memoryview
"""A message as it came."""
Parts = bytes | list[bytes | memoryview]
"""A message to be sent, in one piece or in several that are one behind the other: so that tensors need not be
copied into it. They do not change any more."""


class Context(Protocol):
    """What handlers ask of a call's transport. The names are grpc.aio's, whose ServicerContext is one."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """What the caller sent besides messages, keys in lower case; bytes where the key ends with `-bin`."""
        ...

    def peer(self) -> str:
        """As security.peer reads it."""
        ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """`x509_subject_alternative_name`: the names in the caller's certificate, if it has one."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None = it set none."""
        ...

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Send these behind a good answer. The last call of this holds."""
        ...

    def disable_next_message_compression(self) -> None:
        """Send the next message as it is, whatever the settings say."""
        ...

    async def read(self) -> Any:
        """The next message of a stream, or grpc.aio.EOF when its caller has sent all."""
        ...

    async def write(self, message: Any) -> None:
        """Send a message (Parts), and wait while the caller takes less than it is sent."""
        ...

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> Any:
        """End the call. Always raises."""
        ...
