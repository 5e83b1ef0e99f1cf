"""Successful answers: JSON documents, and bodies of several parts."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from aiohttp import web
from multidict import CIMultiDict

from onnxd.http_frontend.call import Call
from onnxd.telemetry.request_headers import REQUEST_ID

SERVER_HEADERS: Final = CIMultiDict({"Server": "onnxd"})
"""On every answer: aiohttp would otherwise name itself and Python with their versions."""
JSON_HEADERS: Final = CIMultiDict({"Server": "onnxd", "Content-Type": "application/json"})

_JOINED_BYTES: Final = 65536
"""Up to this size one copy is cheaper than several writes."""


def json_response(document: Any, status: int = 200) -> web.Response:
    """A document of plain JSON values."""
    return web.Response(status=status, body=orjson.dumps(document), headers=JSON_HEADERS)


async def send_parts(
    call: Call, parts: Sequence[bytes | memoryview], headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Answer 200 with a body that is these parts in a row. Large ones are written as they are, uncopied.
    `headers` are the caller's no more."""
    length = sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)
    if length <= _JOINED_BYTES:
        return web.Response(body=parts[0] if len(parts) == 1 else b"".join(parts), headers=headers)
    if call.header_id:
        headers[REQUEST_ID] = call.header_id
    response = web.StreamResponse(headers=headers)
    response.content_length = length
    await response.prepare(call.request)
    for part in parts:
        await response.write(part)
    await response.write_eof()
    return response
