"""What a connection is waited for, and for how long. Pure: what has been seen and the time come from outside,
and what is due goes back; between two looks nothing is counted."""

from dataclasses import dataclass
from enum import Enum, auto

from onnxd.http2.config import Http2Config


class Due(Enum):
    """What has to be done."""

    NOTHING = auto()
    PROBE = auto()
    """Send PING, to hear whether anybody is there."""
    LEAVE = auto()
    """Ask the client to go: its connection is old."""
    LEAVE_NOW = auto()
    """It had time to read that: name the last stream."""
    CALM = auto()
    """A frame or a head that does not end."""
    END = auto()
    """Cut the connection: nobody is there, reads, or goes."""


@dataclass(slots=True)
class Seen:
    """What a connection looks like."""

    read_s: float
    """When anything was last read."""
    greeted: bool
    """Whether the client's settings have come."""
    unfinished_since_s: float | None
    """Since when a frame or a head has no end."""
    waiting_bytes: int
    """In the transport's buffer."""
    handed_bytes: int
    """To the transport, in all."""
    streams: int


class Watch:
    """Of one connection."""

    def __init__(self, config: Http2Config, now_s: float, spread: float) -> None:
        """`spread`: between 0 and 1; where in its tenth this connection's age lies."""
        self._config = config
        self._began_s = now_s
        self._age_s = config.max_connection_age * (0.9 + 0.2 * spread)
        self._probed_s: float | None = None
        self._left_s: float | None = None
        self._grace_s = 0.0
        self._taken_bytes = 0
        self._taken_s = now_s
        self._says_last = False

    @property
    def is_leaving(self) -> bool:
        return self._left_s is not None

    def pong(self) -> None:
        """The probe was answered."""
        self._probed_s = None

    def left(self, now_s: float, grace_s: float) -> None:
        """The client has been asked to go, within so many seconds."""
        self._left_s = now_s
        self._grace_s = grace_s
        self._says_last = True

    def said_last(self) -> None:
        """The last stream has been named."""
        self._says_last = False

    def look(self, now_s: float, seen: Seen) -> Due:
        """What is due first."""
        config = self._config
        if self.is_stalled(now_s, seen.waiting_bytes, seen.handed_bytes):
            return Due.END
        if not seen.greeted:
            return Due.END if now_s - self._began_s >= config.handshake_timeout else Due.NOTHING
        since_s = seen.unfinished_since_s
        if since_s is not None and now_s - since_s >= config.handshake_timeout:
            return Due.CALM
        if self._left_s is not None:
            if now_s - self._left_s >= self._grace_s:
                return Due.END
            if self._says_last and now_s - self._left_s >= config.keepalive_timeout:
                return Due.LEAVE_NOW
        elif now_s - self._began_s >= self._age_s:
            return Due.LEAVE
        return self._probe(now_s, seen)

    def is_stalled(self, now_s: float, waiting_bytes: int, handed_bytes: int) -> bool:
        """Whether the socket has taken nothing of what waits for it, for too long."""
        taken = handed_bytes - waiting_bytes
        if not waiting_bytes or taken != self._taken_bytes:
            self._taken_bytes = taken
            self._taken_s = now_s
            return False
        return now_s - self._taken_s >= self._config.write_timeout

    def _probe(self, now_s: float, seen: Seen) -> Due:
        if self._probed_s is not None:
            if seen.read_s > self._probed_s:
                self._probed_s = None
            elif now_s - self._probed_s >= self._config.keepalive_timeout:
                return Due.END
            return Due.NOTHING
        silent_s = now_s - seen.read_s
        if silent_s >= self._config.keepalive_time and (seen.streams or self._config.keepalive_without_calls):
            self._probed_s = now_s
            return Due.PROBE
        return Due.NOTHING
