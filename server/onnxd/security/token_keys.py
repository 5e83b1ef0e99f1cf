"""Keeps the public keys of the tokens' issuer: from a file, or fetched where the issuer publishes them."""

import asyncio
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from onnxd.security.jwt_config import JwtConfig, TokenKeysUnusable
from onnxd.security.origin import is_this_machine
from onnxd.security.repeated import Repeated
from onnxd.security.tokens import KeysFault, TokenKeys, Tokens

_LOOK_EVERY_S: Final = 1.0
_COOL_DOWN_S: Final = 30.0
_STALE_AFTER_S: Final = 86_400.0
_MOST_BYTES: Final = 256 * 2**10
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)

_log = structlog.get_logger(__name__)


class TokenKeeper:
    """Gives `tokens` its keys. An async context manager: while it is open it follows their source.

    An issuer that does not answer is no reason not to start, nor to refuse who has a token: keys are used for
    a day after they were last fetched. A key that is not known has them fetched again, at most once in 30 s.
    """

    def __init__(self, config: JwtConfig, tokens: Tokens, *, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._config = config
        self._tokens = tokens
        self._content: bytes | None = None
        self._tried_s = float("-inf")
        self._fetched_s = float("-inf")
        self._looks = Repeated(self._look, look_every_s, "token keys")
        self.fetches = 0
        """How often the source was asked."""

    async def __aenter__(self) -> "TokenKeeper":
        """Raises TokenKeysUnusable: a file that has no keys, an address that is not asked."""
        if self._config.keys_file is not None:
            await self._read(self._config.keys_file)
        else:
            check_address(self._config.keys_url)
            await self._fetch()
        await self._looks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._looks.__aexit__(kind, error, traceback)

    async def _look(self) -> None:
        if self._config.keys_file is None:
            await self._fetch_if_due()
            return
        try:
            await self._read(self._config.keys_file)
        except TokenKeysUnusable as error:
            _log.error("token keys", reason=str(error), effect="the old ones are used")

    async def _read(self, path: Path) -> None:
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise TokenKeysUnusable(f"cannot read jwt.keys_file {path}: {error.strerror}") from error
        if content == self._content:
            return
        self._content = content
        self._use(content, str(path))

    async def _fetch_if_due(self) -> None:
        now_s = time.monotonic()
        due_s = self._fetched_s + self._config.refresh
        wanted = self._tokens.missed or now_s >= due_s
        if now_s - self._fetched_s > _STALE_AFTER_S:
            self._tokens.use(TokenKeys({}))
        if wanted and now_s - self._tried_s >= _COOL_DOWN_S:
            await self._fetch()

    async def _fetch(self) -> None:
        self._tried_s = time.monotonic()
        self._tokens.missed = False
        self.fetches += 1
        try:
            self._use(await _get(self._config.keys_url), self._config.keys_url)
            self._fetched_s = time.monotonic()
        except (TokenKeysUnusable, aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.error("token keys", reason=str(error) or type(error).__name__, url=self._config.keys_url)

    def _use(self, content: bytes, source: str) -> None:
        try:
            keys = TokenKeys.read(json.loads(content))
        except (KeysFault, ValueError, RecursionError) as fault:
            raise TokenKeysUnusable(f"{source}: {fault}") from fault
        self._tokens.use(keys)
        _log.info("token keys", keys=len(keys))


def check_address(url: str) -> None:
    """Raises TokenKeysUnusable for an address that is not asked for keys."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise TokenKeysUnusable("jwt.keys_url is no address") from error
    if parts.scheme != "https" and not (parts.scheme == "http" and is_this_machine(host)):
        raise TokenKeysUnusable(
            "jwt.keys_url: expected https://..., since whoever changes the keys is let in"
        )


async def _get(url: str) -> bytes:
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise TokenKeysUnusable(f"the issuer answered {answer.status}; redirects are not followed")
        content = await answer.content.read(_MOST_BYTES + 1)
        while len(content) <= _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES)):
            content += more
    if len(content) > _MOST_BYTES:
        raise TokenKeysUnusable(f"the issuer's document has more than {_MOST_BYTES} bytes")
    return content
