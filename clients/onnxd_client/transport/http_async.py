"""HTTP, awaiting."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping

import httpx

from onnxd_client.address import Address
from onnxd_client.errors import DeadlineExceeded
from onnxd_client.http_codec import HttpReply, HttpRequest, refusal
from onnxd_client.plan import Attempt
from onnxd_client.transport import http_setup


class AsyncHttpTransport:
    """A pool of connections to one server, for one event loop."""

    def __init__(self, address: Address, *, connections: int, ca_file: str | None) -> None:
        self._address = address
        self._client = httpx.AsyncClient(
            base_url=f"{address.scheme}://{address.authority}",
            limits=http_setup.limits(connections),
            verify=http_setup.trust(address, ca_file),
            headers=http_setup.standing_headers(),
            # A proxy from the environment never stands between us and our own machine.
            trust_env=not address.loopback,
        )

    async def send(self, attempt: Attempt[HttpRequest]) -> HttpReply:
        """One request; raises a ServerError when no whole answer came, whatever its status."""
        method, path, headers = http_setup.arguments(attempt)
        try:
            async with asyncio.timeout(None if math.isinf(attempt.timeout) else attempt.timeout):
                response = await self._client.request(
                    method,
                    path,
                    headers=headers,
                    content=attempt.request.body,
                    timeout=http_setup.timeouts(math.inf),
                )
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._address}: no answer within the deadline") from error
        except httpx.TransportError as error:
            raise http_setup.failure(error, self._address) from error
        except httpx.DecodingError as error:
            raise http_setup.undecodable(error, self._address) from error
        return http_setup.reply(response, response.content)

    async def lines(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[str, None]:
        """The lines of an answer that goes on: each within some seconds of the one before. Raises a
        ServerError; leaving the iterator early closes the connection."""
        try:
            async with self._client.stream(
                "GET",
                self._address.path + path,
                headers=dict(headers),
                timeout=http_setup.timeouts(http_setup.LINE_TIMEOUT),
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise refusal(http_setup.reply(response, await response.aread()), time.time())
                async for line in response.aiter_lines():
                    yield line
        except httpx.TransportError as error:
            raise http_setup.failure(error, self._address) from error
        except httpx.DecodingError as error:
            raise http_setup.undecodable(error, self._address) from error

    async def aclose(self) -> None:
        await self._client.aclose()
