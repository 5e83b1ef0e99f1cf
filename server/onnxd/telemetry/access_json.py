"""Lines of inferences that were answered, as JSON, many at once.

A server that logs each of its requests pays for this with each, and what is done for all of them together
costs a fraction of what it does one by one. A line is pieces that are the same for many, numbers, and the
time: all numbers are written by one call, and all lines joined by another.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import orjson

from onnxd.telemetry.access_writer import Answered, Ids, Kind
from onnxd.telemetry.escaping import escaped

LOGGER: Final = "onnxd.access"
MAX_CHARACTERS: Final = 256
"""Of a value: several lines are written at once."""
LEVELS: Final = {level: logging.getLevelName(level).lower() for level in (logging.DEBUG, logging.INFO)}

_PIECES: Final = 9
_QUEUE, _COMPUTE, _TIMESTAMP, _END = b',"queue_ms":', b',"compute_ms":', b',"timestamp":', b"}\n"
_MOST_HEADS: Final = 1024
_STAMPS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


class _Heads(dict[Kind, bytes]):
    """The beginnings of lines, as far as their first number."""

    def __missing__(self, kind: Kind) -> bytes:
        if len(self) >= _MOST_HEADS:
            self.clear()
        head = self[kind] = _head(kind)
        return head


_heads: Final = _Heads()


def as_json(answered: Iterable[Answered], offset_ns: int) -> str:
    """One line for each, without an end of the last. `offset_ns`: from time.monotonic_ns() to the Unix epoch.

    For one thread at a time.
    """
    *kinds, received_ns, queue_ns, taken_ns, split_ns, ended_ns, ids = zip(*answered, strict=True)
    count = len(ids)
    times = np.empty((5, count), np.int64)
    for row, each in enumerate((received_ns, queue_ns, taken_ns, split_ns, ended_ns)):
        times[row] = np.fromiter(each, np.int64, count)
    # Duration, queue, compute, rounded to microseconds.
    spans_us = (times[[4, 2, 3]] - times[[0, 1, 2]] + 500) // 1000
    numbers = _texts(spans_us.reshape(-1) / 1000, orjson.OPT_SERIALIZE_NUMPY)
    at_us = (times[4] + offset_ns) // 1000
    at_us += at_us % 1_000_000 == 0  # a whole second would be written without its fraction
    pieces: list[bytes] = [_END] * (_PIECES * count)
    pieces[0::_PIECES] = map(_heads.__getitem__, zip(*kinds, strict=True))
    pieces[1::_PIECES] = numbers[:count]
    pieces[2::_PIECES] = [_QUEUE] * count
    pieces[3::_PIECES] = numbers[count : 2 * count]
    pieces[4::_PIECES] = [_COMPUTE] * count
    pieces[5::_PIECES] = numbers[2 * count :]
    pieces[6::_PIECES] = [_TIMESTAMP if each is None else _ids(each) for each in ids]
    pieces[7::_PIECES] = _texts(at_us.astype("datetime64[us]"), _STAMPS)
    pieces[-1] = b"}"
    return b"".join(pieces).decode()


def _texts(values: Any, options: int) -> list[bytes]:
    """Of an array, each as JSON has it."""
    return orjson.dumps(values, option=options)[1:-1].split(b",")


def _head(kind: Kind) -> bytes:
    level, operation, status, model, version, principal = kind
    fields: dict[str, Any] = {
        "event": operation,
        "outcome": "answered",
        "status": status,
        "level": LEVELS[level],
        "logger": LOGGER,
    }
    if model:
        fields["model"] = escaped(model, MAX_CHARACTERS)
    if version is not None:
        fields["version"] = version
    if principal:
        fields["principal"] = escaped(principal, MAX_CHARACTERS)
    return orjson.dumps(fields)[:-1] + b',"duration_ms":'


def _ids(ids: Ids) -> bytes:
    """As far as the time. All but the first are ours, or were found to be plain."""
    request_id, header_id, trace_id = ids
    piece = b""
    if request_id:
        piece += b',"id":' + orjson.dumps(escaped(request_id, MAX_CHARACTERS))
    if header_id:
        piece += b',"request_id":"%b"' % header_id.encode()
    if trace_id:
        piece += b',"trace_id":"%b"' % trace_id.encode()
    return piece + _TIMESTAMP
