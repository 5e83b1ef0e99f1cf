"""SETTINGS (RFC 9113 §6.5): what the client allows us, and what we allow it."""

import struct
from typing import Final

from onnxd.http2.config import DEFAULT_FRAME, DEFAULT_WINDOW, LARGEST_FRAME, LARGEST_WINDOW, Http2Config
from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.frames import SETTINGS, frame

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

DEFAULT_HEADER_TABLE: Final = 4096
_SETTING: Final = struct.Struct(">HI")
_MAX_SETTINGS: Final = 64
"""In one frame; each of the six that exist may well be in it twice."""


class PeerSettings:
    """What the client has said, or what holds until it has."""

    __slots__ = ("header_table", "max_frame", "window")

    def __init__(self) -> None:
        self.header_table = DEFAULT_HEADER_TABLE
        """The smallest HPACK table it ever allowed. We need none, and only have to say so once."""
        self.max_frame = DEFAULT_FRAME
        self.window = DEFAULT_WINDOW
        """What each new stream may be sent."""

    def apply(self, payload: bytes) -> int:
        """Of a frame that is no acknowledgement; by how much the window of each open stream grows."""
        if len(payload) % _SETTING.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS is not a multiple of 6 bytes")
        if len(payload) > _MAX_SETTINGS * _SETTING.size:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings in one frame")
        before = self.window
        for number, value in _SETTING.iter_unpack(payload):
            if number == INITIAL_WINDOW_SIZE:
                if value > LARGEST_WINDOW:
                    raise ConnectionFault(
                        ErrorCode.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE is {value}"
                    )
                self.window = value
            elif number == MAX_FRAME_SIZE:
                if not DEFAULT_FRAME <= value <= LARGEST_FRAME:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE is {value}")
                self.max_frame = value
            elif number == ENABLE_PUSH:
                if value > 1:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH is {value}")
            elif number == HEADER_TABLE_SIZE:
                self.header_table = min(self.header_table, value)
        return self.window - before


def own_settings(config: Http2Config) -> bytes:
    """The frame that a connection begins with."""
    return frame(
        SETTINGS,
        0,
        0,
        b"".join(
            (
                _SETTING.pack(MAX_CONCURRENT_STREAMS, config.max_concurrent_streams),
                _SETTING.pack(INITIAL_WINDOW_SIZE, config.stream_window),
                _SETTING.pack(MAX_FRAME_SIZE, config.max_frame),
                _SETTING.pack(MAX_HEADER_LIST_SIZE, config.max_header_list),
            )
        ),
    )
