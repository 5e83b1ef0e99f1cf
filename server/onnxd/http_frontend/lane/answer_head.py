"""The head of an answer, as aiohttp writes it."""

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from onnxd.http_frontend.errors import Refusal
from onnxd.http_frontend.infer_steps import JSON_LENGTH_HEADER, InferAnswer
from onnxd.http_frontend.responses import JSON_HEADERS
from onnxd.protocol.json_response import encode_error

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


def answer_head(answer: InferAnswer, length: int, date: str, *, closes: bool) -> bytes:
    """Of a success."""
    encoded = answer.encoded
    json_length = "" if encoded.json_length is None else f"{JSON_LENGTH_HEADER}: {encoded.json_length}\r\n"
    encoding = "" if answer.encoding is None else f"Content-Encoding: {answer.encoding}\r\n"
    return (
        f"HTTP/1.1 200 OK\r\nServer: onnxd\r\nContent-Type: {encoded.content_type}\r\n{json_length}{encoding}"
        f"Content-Length: {length}\r\nDate: {date}\r\n{_CLOSE if closes else ''}\r\n"
    ).encode("ascii")


def refusal_bytes(refusal: Refusal, date: str, *, closes: bool) -> bytes:
    """Head and body of anything else."""
    body = encode_error(refusal.message)
    headers = {**JSON_HEADERS, **refusal.headers, "Content-Length": str(len(body)), "Date": date}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = HTTPStatus(refusal.status).phrase
    return f"HTTP/1.1 {refusal.status} {phrase}\r\n{lines}{_CLOSE if closes else ''}\r\n".encode() + body
