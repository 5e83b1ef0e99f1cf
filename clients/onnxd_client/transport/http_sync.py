"""HTTP, blocking."""

import time
from collections.abc import Generator, Mapping

import httpx

from onnxd_client.address import Address
from onnxd_client.errors import DeadlineExceeded
from onnxd_client.http_codec import HttpReply, HttpRequest, refusal
from onnxd_client.plan import Attempt
from onnxd_client.transport import http_setup


class HttpTransport:
    """A pool of connections to one server; safe to use from several threads."""

    def __init__(self, address: Address, *, connections: int, ca_file: str | None) -> None:
        self._address = address
        self._client = httpx.Client(
            base_url=f"{address.scheme}://{address.authority}",
            limits=http_setup.limits(connections),
            verify=http_setup.trust(address, ca_file),
            headers=http_setup.standing_headers(),
            # A proxy from the environment never stands between us and our own machine.
            trust_env=not address.loopback,
        )

    def send(self, attempt: Attempt[HttpRequest]) -> HttpReply:
        """One request; raises a ServerError when no whole answer came, whatever its status."""
        method, path, headers = http_setup.arguments(attempt)
        expires = time.monotonic() + attempt.timeout
        try:
            with self._client.stream(
                method,
                path,
                headers=headers,
                content=attempt.request.body,
                timeout=http_setup.timeouts(attempt.timeout),
            ) as response:
                parts: list[bytes] = []
                for part in response.iter_bytes():
                    parts.append(part)
                    # httpx bounds each read: an answer that drips would go on for ever.
                    if time.monotonic() > expires:
                        raise DeadlineExceeded(f"{self._address}: the answer did not end within the deadline")
                return http_setup.reply(response, b"".join(parts))
        except httpx.TransportError as error:
            raise http_setup.failure(error, self._address) from error
        except httpx.DecodingError as error:
            raise http_setup.undecodable(error, self._address) from error

    def lines(self, path: str, headers: Mapping[str, str]) -> Generator[str, None, None]:
        """The lines of an answer that goes on: each within some seconds of the one before. Raises a
        ServerError; leaving the iterator early closes the connection."""
        path = self._address.path + path
        try:
            with self._client.stream(
                "GET", path, headers=dict(headers), timeout=http_setup.timeouts(http_setup.LINE_TIMEOUT)
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise refusal(http_setup.reply(response, response.read()), time.time())
                yield from response.iter_lines()
        except httpx.TransportError as error:
            raise http_setup.failure(error, self._address) from error
        except httpx.DecodingError as error:
            raise http_setup.undecodable(error, self._address) from error

    def close(self) -> None:
        self._client.close()
