"""Reading a request's body under its limits: size, time, number of chunks, and what it decompresses to."""

import asyncio
from typing import Any, Final

from aiohttp import StreamReader, web

from onnxd.errors import MalformedPayload, PayloadTooLarge, RequestTooSlow
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.connection import Connection
from onnxd.http_frontend.offload import by_size
from onnxd.protocol.compression import decompress, parse_content_encoding
from onnxd.protocol.json_text import parse_object
from onnxd.protocol.limits import ProtocolLimits
from onnxd.scheduler.payloads import Payload, PayloadBound

CONTROL_BYTES: Final = 2**19
"""Of a control call without files: ten thousand times what any of them needs."""
_DEADLINE_STEP_BYTES: Final = 16384
"""The deadline moves once in so many bytes: a timer for every chunk would cost more than the chunk."""


class BodyReader:
    """Reads bodies for the handlers of one listener."""

    def __init__(self, config: HttpConfig, payloads: PayloadBound) -> None:
        self._config = config
        self._payloads = payloads

    async def read(self, call: Call) -> bytes:
        """The whole body, decompressed. The call holds its bytes of the bound until it is over.

        Raises PayloadTooLarge and Unavailable (for a declared length before anything is read),
        RequestTooSlow, MalformedPayload, UnsupportedEncoding, and aiohttp's RequestPayloadError or
        ConnectionError when the client goes away or breaks the framing.
        """
        request = call.request
        payload = call.payload = self._payloads.open()
        compressed = is_compressed(request)
        content = request.content
        if content.is_eof() and "Transfer-Encoding" not in request.headers:
            # Nearly always: a small body comes with its head.
            body = content.read_nowait()
            self._check_size(len(body))
            payload.grow(len(body))
        else:
            self._check_size(request.content_length or 0)
            payload.grow(request.content_length or 0)
            await _send_continue(request)
            body = await self._receive(request, content, payload)
        if not compressed:
            return body
        content_bytes = await by_size(len(body), decompress, body, self._config.max_body)
        payload.grow(len(content_bytes) - len(body))
        return content_bytes

    async def read_object(
        self, call: Call, limits: ProtocolLimits, most_bytes: int = CONTROL_BYTES
    ) -> dict[str, Any]:
        """The body of a control call: a JSON object, {} when it is empty. Raises as `read` does, and
        PayloadTooLarge for one over `most_bytes`: however it is made, it must not stop the loop for long."""
        text = await self.read(call)
        if len(text) > most_bytes:
            raise PayloadTooLarge(f"the body has {len(text)} bytes; such a call takes at most {most_bytes}")
        return await by_size(len(text), parse_object, text, limits)

    async def _receive(self, request: web.BaseRequest, content: StreamReader, payload: Payload) -> bytes:
        """Bytes as they come. The deadline moves with them: so long, and no slower than the minimum rate."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + self._config.body_timeout
        chunked = request.content_length is None
        parts: list[bytes] = []
        received = counted = chunks = 0
        try:
            async with asyncio.timeout_at(latest) as deadline:
                while True:
                    if chunked:
                        part, ends_chunk = await content.readchunk()
                        chunks += ends_chunk
                        if not part and not ends_chunk:
                            break
                    else:
                        part = await content.readany()
                        if not part:
                            break
                    parts.append(part)
                    received += len(part)
                    self._check_size(received)
                    if chunked:
                        payload.grow(len(part))
                    if chunks > self._config.max_chunks:
                        _hang_up(request)
                        raise MalformedPayload(
                            f"the body comes in more than {self._config.max_chunks} chunks; send bigger ones"
                        )
                    if received - counted >= _DEADLINE_STEP_BYTES and self._config.min_rate > 0:
                        counted = received
                        deadline.reschedule(latest + received / self._config.min_rate)
        except TimeoutError as error:
            raise RequestTooSlow(
                f"the body did not arrive in time: {received} bytes in {self._config.body_timeout:g} s, "
                f"and then at least {self._config.min_rate} bytes a second are expected"
            ) from error
        return b"".join(parts)

    def _check_size(self, size: int) -> None:
        if 0 <= self._config.max_body < size:
            raise PayloadTooLarge(
                f"the body has {size} bytes or more, over the limit of {self._config.max_body} "
                "(the setting http.max_body)"
            )


def is_compressed(request: web.BaseRequest) -> bool:
    """Whether the body comes compressed. Raises UnsupportedEncoding for an encoding that is not read."""
    return "Content-Encoding" in request.headers and parse_content_encoding(
        ", ".join(request.headers.getall("Content-Encoding"))
    )


async def _send_continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for leave to send its body. The boundary has refused every other `Expect`."""
    if "Expect" in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What follows is the first answer, not a second one.
        request.writer.output_size = 0


def _hang_up(request: web.BaseRequest) -> None:
    connection = request.protocol
    if isinstance(connection, Connection):
        connection.hang_up()
