"""Reading a request's body under its limits: size, time, number of chunks, and what it decompresses to."""

import asyncio
from typing import Any, Final

from aiohttp import StreamReader, web
from multidict import MultiMapping

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
        compressed = is_compressed(request.headers)
        content = request.content
        if content.is_eof() and "Transfer-Encoding" not in request.headers:
            # Nearly always: a small body comes with its head.
            body = content.read_nowait()
            check_size(len(body), self._config)
            payload.grow(len(body))
        else:
            check_size(request.content_length or 0, self._config)
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
        received = chunks = 0
        granted_s = 0.0
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
                    check_size(received, self._config)
                    if chunked:
                        payload.grow(len(part))
                    if chunks > self._config.max_chunks:
                        _hang_up(request)
                        raise MalformedPayload(
                            f"the body comes in more than {self._config.max_chunks} chunks; send bigger ones"
                        )
                    if (more := more_s(received, self._config)) > granted_s:
                        granted_s = more
                        deadline.reschedule(latest + more)
        except TimeoutError as error:
            raise too_slow(received, self._config) from error
        return b"".join(parts)


def is_compressed(headers: MultiMapping[str]) -> bool:
    """Whether the body comes compressed. Raises UnsupportedEncoding for an encoding that is not read."""
    return "Content-Encoding" in headers and parse_content_encoding(
        ", ".join(headers.getall("Content-Encoding"))
    )


def check_size(size: int, config: HttpConfig) -> None:
    """Raises PayloadTooLarge."""
    if 0 <= config.max_body < size:
        raise PayloadTooLarge(
            f"the body has {size} bytes or more, over the limit of {config.max_body} "
            "(the setting http.max_body)"
        )


def more_s(received: int, config: HttpConfig) -> float:
    """How much longer a body may take than the timeout, for so many bytes of it having come. In steps: a
    timer moved for every chunk would cost more than the chunk."""
    counted = received - received % _DEADLINE_STEP_BYTES
    return counted / config.min_rate if config.min_rate > 0 else 0.0


def too_slow(received: int, config: HttpConfig) -> RequestTooSlow:
    """For a body whose time is over."""
    return RequestTooSlow(
        f"the body did not arrive in time: {received} bytes in {config.body_timeout:g} s, "
        f"and then at least {config.min_rate} bytes a second are expected"
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
