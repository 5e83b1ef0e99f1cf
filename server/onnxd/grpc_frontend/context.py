"""What a call's handler sees of the transport, whichever carries it."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol

from onnxd.grpc_frontend.status_code import StatusCode

Received = bytes | memoryview
"""A message as it came."""
Parts = bytes | list[bytes | memoryview]
"""A message to be sent, in one piece or in several that are one behind the other: so that tensors need not be
copied into it. They do not change any more."""


class EndOfStream(Enum):
    """A stream's caller has sent all."""

    EOF = 0


EOF: Final = EndOfStream.EOF


class Aborted(Exception):
    """The call is ended: nothing that its handler still raises or gives counts."""


class CallerLeft(Exception):
    """The connection broke, or the server was stopped: there is nobody to tell anything."""


class Context(Protocol):
    """What handlers ask of a call's transport. The names are those of grpc.aio's ServicerContext."""

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
        """The next message of a stream, or EOF when its caller has sent all. Raises CallerLeft."""
        ...

    async def write(self, message: Any) -> None:
        """Send a message (Parts), and wait while the caller takes less than it is sent. Raises CallerLeft."""
        ...

    async def abort(self, code: StatusCode, details: str = "", trailing_metadata: Any = ()) -> Any:
        """End the call. Always raises Aborted, or the transport's own that stands for it."""
        ...
