"""The head of an answer, as aiohttp writes it."""

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from onnxd.http_frontend.errors import Refusal
from onnxd.http_frontend.infer_steps import JSON_LENGTH_HEADER, InferAnswer
from onnxd.http_frontend.responses import JSON_HEADERS
from onnxd.protocol.json_response import encode_error
from onnxd.telemetry.request_headers import REQUEST_ID

_MOST_HEADS: Final = 256
_CLOSE: Final = "Connection: close\r\n"


class Clock:
    """The date of answers, made once a second."""

    __slots__ = ("_made_s", "_text")

    def __init__(self) -> None:
        self._made_s = -1
        self._text = ""

    def date(self) -> str:
        now_s = int(time.time())
        if now_s != self._made_s:
            self._made_s, self._text = now_s, formatdate(now_s, usegmt=True)
        return self._text


def answer_head(
    answer: InferAnswer, length: int, date: str, more: Iterable[tuple[str, str]] = (), *, closes: bool
) -> bytes:
    """Of a success. `more`: what this request asked to be told."""
    encoded = answer.encoded
    json_length = "" if encoded.json_length is None else f"{JSON_LENGTH_HEADER}: {encoded.json_length}\r\n"
    encoding = "" if answer.encoding is None else f"Content-Encoding: {answer.encoding}\r\n"
    asked = "".join(f"{name}: {value}\r\n" for name, value in more)
    return (
        f"HTTP/1.1 200 OK\r\nServer: onnxd\r\nContent-Type: {encoded.content_type}\r\n{json_length}{encoding}"
        f"{asked}Content-Length: {length}\r\nDate: {date}\r\n{_CLOSE if closes else ''}\r\n"
    ).encode("ascii")


class UsualHeads:
    """Heads of answers that nothing else is asked of: for a second, those of one length are the same."""

    __slots__ = ("_clock", "_date", "_known")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._date = ""
        self._known: dict[tuple[int, int | None, str], bytes] = {}

    def usual(self, answer: InferAnswer, length: int) -> bytes:
        """As answer_head makes it."""
        date = self._clock.date()
        if date is not self._date or len(self._known) >= _MOST_HEADS:
            self._known.clear()
            self._date = date
        if answer.encoding is not None:
            return answer_head(answer, length, date, closes=False)
        encoded = answer.encoded
        key = length, encoded.json_length, encoded.content_type
        head = self._known.get(key)
        if head is None:
            head = self._known[key] = answer_head(answer, length, date, closes=False)
        return head


def refusal_bytes(refusal: Refusal, date: str, *, closes: bool, header_id: str = "") -> bytes:
    """Head and body of anything else."""
    body = encode_error(refusal.message)
    headers = {**JSON_HEADERS, **refusal.headers, "Content-Length": str(len(body)), "Date": date}
    if header_id:
        headers.setdefault(REQUEST_ID, header_id)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = HTTPStatus(refusal.status).phrase
    return f"HTTP/1.1 {refusal.status} {phrase}\r\n{lines}{_CLOSE if closes else ''}\r\n".encode() + body
