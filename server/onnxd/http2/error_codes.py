"""What ends a stream or a connection: the codes of RFC 9113 §7, and the exceptions that carry them."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Of RST_STREAM and GOAWAY."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke a rule that its whole connection depends on: GOAWAY, and the end (§5.4.1)."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        """`text`: for the peer's developer, in GOAWAY's debug data."""
        super().__init__(text)
        self.code = code
        self.text = text
