"""The streams of a connection: those in progress, and what has to be known of those that are over."""

from collections import deque
from typing import Final

from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.open_stream import Ending, OpenStream

_ENDED_REMEMBERED: Final = 64
_RESET_REMEMBERED: Final = 1024
"""At least; more where more streams may be in progress, each of which may be reset with data on its way."""
_LARGEST_ID: Final = 2**31 - 1


class StreamTable:
    """By id. Ids are the client's, so they are odd."""

    __slots__ = ("_ended", "_max_reset", "_reset", "last_accepted", "last_id", "open")

    def __init__(self, max_concurrent: int) -> None:
        self.open: dict[int, OpenStream] = {}
        self.last_id = 0
        """The highest that the client has used."""
        self.last_accepted = _LARGEST_ID
        """What comes on higher ones is ignored: GOAWAY has said so."""
        self._ended: deque[int] = deque(maxlen=_ENDED_REMEMBERED)
        self._reset: dict[int, Ending] = {}
        """Those that were reset."""
        self._max_reset = max(_RESET_REMEMBERED, 2 * max_concurrent)

    def over(self, stream_id: int, ending: Ending) -> None:
        self.open.pop(stream_id, None)
        if ending is Ending.BOTH_ENDED:
            self._ended.append(stream_id)
            return
        self._reset[stream_id] = ending
        if len(self._reset) > self._max_reset:
            del self._reset[next(iter(self._reset))]

    def is_idle(self, stream_id: int) -> bool:
        """Whether no frame but HEADERS and PRIORITY may come on it yet (§5.1)."""
        return stream_id > self.last_id or not stream_id & 1

    def require_used(self, stream_id: int, kind: str) -> None:
        """For a frame on a stream that is not open. Raises ConnectionFault."""
        if self.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{kind} on stream {stream_id}, which is idle")

    def is_on_its_way(self, stream_id: int, kind: str) -> bool:
        """For DATA or HEADERS on a stream that is over: whether the client may not have known it. False = it
        reset the stream itself, a breach of that stream's rules. Raises ConnectionFault for worse."""
        ending = self._reset.get(stream_id)
        if ending is not None:
            return ending is Ending.RESET_BY_US
        if stream_id > self.last_accepted:
            return True
        if kind == "HEADERS" and stream_id not in self._ended:
            # §5.1.1: an id below the last one has never been, and cannot begin any more.
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} cannot begin after stream {self.last_id}"
            )
        raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"{kind} on stream {stream_id}, which is over")
