"""The head of a request: read by llhttp, and judged whether the lane may answer it.

plain     an inference request in the form that nearly all have: the lane's
framed    where it ends is beyond doubt: aiohttp answers it, and the lane goes on behind it
neither   the connection is aiohttp's from here on
"""

from dataclasses import dataclass, field
from typing import Final

import httptools
from multidict import CIMultiDict, CIMultiDictProxy

from onnxd.http_frontend.call import Route
from onnxd.http_frontend.infer_steps import JSON_LENGTH_HEADER, InferHead, infer_head
from onnxd.security.gate import Verdict
from onnxd.telemetry.request_headers import REQUEST_ID, valid_request_id

MAX_HEAD_BYTES: Final = 8190
"""What is longer aiohttp reads, whose limit for one line this is."""
MAX_BODY_BYTES: Final = 2**28
"""Of a body that is received into one buffer, allocated before it comes."""
_MAX_HEADERS: Final = 128
_END: Final = b"\r\n\r\n"
_MOST_DIGITS: Final = 18
_NOT_PLAIN: Final = ("Expect", "Content-Encoding", "Sec-WebSocket-Key1")


@dataclass(slots=True)
class Head:
    """A head that is framed. What is derived from it holds for every request that begins with these bytes."""

    raw: bytes
    method: str
    target: str
    headers: CIMultiDictProxy[str]
    length: int
    """Of the body."""
    json_length: int
    """Of its JSON part, where that is stated."""
    closes: bool
    """The client asks for the connection to be closed."""
    plain: bool
    infer: InferHead
    header_id: str = ""
    """Its x-request-id; "" = none that is valid."""
    route: Route | None = None
    """Of a plain one; None = aiohttp is to answer it."""
    verdict: Verdict = field(default_factory=Verdict)
    """What the gate has said of it."""
    path: str = field(init=False)
    model: str = ""
    version: int | None = None

    def __post_init__(self) -> None:
        self.path = self.target.partition("?")[0]


class NotFramed(Exception):
    """It is not a request whose end is beyond doubt; perhaps it is none at all."""


class HeadReader:
    """Reads one head, as its bytes come."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._fed = 0
        self._target = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._complete = False

    def read(self, data: bytes) -> Head | None:
        """The head that `data` begins with; None = it is not all there. `data`: what it was the last time,
        and what has come since. Raises NotFramed."""
        at = data.find(_END, max(0, self._fed - len(_END) + 1))
        until = at + len(_END) if at >= 0 else len(data)
        try:
            self._parser.feed_data(memoryview(data)[self._fed : until])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise NotFramed from error
        self._fed = until
        if self._complete != (at >= 0) or until > MAX_HEAD_BYTES:
            raise NotFramed
        return self._judged(data[:until]) if self._complete else None

    # What the parser calls.

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        self._complete = True

    def _judged(self, raw: bytes) -> Head:
        parser = self._parser
        method = parser.get_method().decode("ascii")
        if not raw.isascii() or parser.get_http_version() != "1.1" or method == "CONNECT":
            raise NotFramed
        headers = CIMultiDictProxy(
            CIMultiDict((name.decode(), value.rstrip(b" \t").decode()) for name, value in self._pairs)
        )
        if "Transfer-Encoding" in headers or "Upgrade" in headers:
            raise NotFramed
        lengths = headers.getall("Content-Length", ())
        if len(lengths) > 1 or any(not each.isdigit() or len(each) > _MOST_DIGITS for each in lengths):
            raise NotFramed
        connection = headers.get("Connection", "").lower()
        if connection not in ("", "keep-alive", "close"):
            raise NotFramed
        length = int(lengths[0]) if lengths else 0
        json_length = headers.get(JSON_LENGTH_HEADER, "")
        return Head(
            raw=raw,
            method=method,
            target=self._target.decode(),
            headers=headers,
            length=length,
            json_length=int(json_length) if json_length.isdigit() and len(json_length) <= _MOST_DIGITS else 0,
            closes=connection == "close",
            infer=infer_head(headers),
            header_id=valid_request_id(headers.get(REQUEST_ID)),
            plain=method == "POST"
            and bool(lengths)
            and length <= MAX_BODY_BYTES
            and self._target.startswith(b"/")
            and "Host" in headers
            and not any(name in headers for name in _NOT_PLAIN)
            and len(self._pairs) <= _MAX_HEADERS
            and len({name.lower() for name in headers}) == len(self._pairs),
        )
