"""Ray's HTTP requests, which come as ASGI calls, to the replica's own front end and back.

The front end is asked over a Unix socket in a directory that nobody else may enter: every decision on a
request, from routing to framing and compression, is then the one that a server makes. Calling its handlers
without a connection would need a second form of the request, of the answer and of reading bodies; the hop
costs little of what Ray's own way to a replica does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BETWEEN_HOPS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_SETTLED_BEFORE: Final = _BETWEEN_HOPS | {b"expect"}
_PROXYS_OWN: Final = _BETWEEN_HOPS | {b"date", b"server", b"x-request-id"}
"""Of an answer: Ray's proxy writes its own. Its x-request-id is the client's, if that sent one."""
_ADDED_BY_AIOHTTP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_WHOLE_BYTES: Final = 2**20
"""Answers up to this size go in one message, since each costs Ray a serialization."""


class HttpCalls:
    """An async context manager: the connections to the front end."""

    def __init__(self, path: str) -> None:
        """`path` of the Unix socket that the front end listens on."""
        self._path = path
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpCalls":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self._path, limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=_ADDED_BY_AIOHTTP,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. It is cancelled when the client goes, and so is what it asked for."""
        if self._session is None:
            raise RuntimeError("open the connections first")
        headers = _headers(scope["headers"])
        length = _length(headers, scope)
        async with self._session.request(
            scope["method"],
            _url(scope),
            headers=headers,
            data=_parts(receive) if length else None,
            # So that one that is refused for its size is refused before it has come.
            expect100=length > _WHOLE_BYTES,
            allow_redirects=False,
        ) as answer:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": [pair for pair in answer.raw_headers if pair[0].lower() not in _PROXYS_OWN],
                }
            )
            if answer.content_length is not None and answer.content_length <= _WHOLE_BYTES:
                await send(_part(await answer.read(), last=True))
                return
            async for part in answer.content.iter_any():
                await send(_part(part, last=False))
            await send(_part(b"", last=True))


def _url(scope: Scope) -> URL:
    """With the path as it was sent, less the application's prefix."""
    path = scope["raw_path"].decode("ascii")
    path = path.removeprefix(scope.get("root_path", "")) or "/"
    query = scope["query_string"].decode("ascii")
    return URL(f"http://onnxd{path}" + (f"?{query}" if query else ""), encoded=True)


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        for name, value in pairs
        if name.lower() not in _SETTLED_BEFORE
    )


def _length(headers: CIMultiDict[str], scope: Scope) -> int:
    """Of the body that comes; of one whose length is not told, more than any that is sent at once."""
    told = headers.get("Content-Length", "")
    if told.isascii() and told.isdigit():
        return int(told)
    chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    return _WHOLE_BYTES + 1 if chunked else 0


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] == "http.request":
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return
    raise ConnectionResetError("the client went away before its request was complete")


def _part(body: bytes, *, last: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": not last}


async def unavailable(send: Send) -> None:
    """Answer for a replica that has no front end (any more)."""
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send(_part(b'{"error":"the replica is shutting down"}', last=True))
