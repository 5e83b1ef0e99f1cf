"""Where the issuer's keys come from: a file that changes, an address that answers or does not."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from onnxd.security.jwt_config import TokenKeysUnusable
from onnxd.security.token_keys import TokenKeeper, check_address
from onnxd.security.tokens import Tokens
from tests.support.until import until
from tests.unit.security.test_tokens import CONFIG, EC_KEY, KEYS, token


def new_token() -> str:
    """Signed with a key that comes later. Made when it is needed: it is good for minutes."""
    return token(key=EC_KEY, algorithm="ES256", kid="e")


@asynccontextmanager
async def issuer(answer: web.StreamResponse | dict[str, object], asked: list[str]) -> AsyncIterator[str]:
    """A server that gives one answer; its address."""

    async def give(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        if not isinstance(answer, dict):
            return answer
        return web.json_response(answer)

    runner = web.ServerRunner(web.Server(give))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/keys"
    finally:
        await runner.cleanup()


async def test_keys_in_a_file_are_read_again_when_it_changes(tmp_path: Path) -> None:
    path, tokens, new = tmp_path / "jwks.json", Tokens(CONFIG), new_token()
    path.write_text(json.dumps({"keys": KEYS["keys"][:1]}))
    async with TokenKeeper(replace(CONFIG, keys_file=path), tokens, look_every_s=0.005):
        assert tokens.identify(token(), time.time()) is not None
        assert tokens.identify(new, time.time()) is None
        path.write_text(json.dumps(KEYS))
        await until(lambda: tokens.identify(new, time.time()) is not None)
        path.write_text("{")
        assert tokens.identify(new, time.time()) is not None


async def test_a_file_without_keys_is_told_at_the_start(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path / "empty"):
        (tmp_path / "empty").write_text("")
        with pytest.raises(TokenKeysUnusable):
            async with TokenKeeper(replace(CONFIG, keys_file=path), Tokens(CONFIG)):
                pass


async def test_keys_are_fetched_where_the_issuer_publishes_them() -> None:
    tokens, asked = Tokens(CONFIG), list[str]()
    async with issuer(dict(KEYS), asked) as url, TokenKeeper(replace(CONFIG, keys_url=url), tokens):
        assert tokens.identify(token(), time.time()) is not None
    assert asked == ["/keys"]


async def test_J9_ten_thousand_unknown_keys_are_one_fetch_in_a_cool_down() -> None:
    tokens, asked = Tokens(CONFIG), list[str]()
    async with issuer(dict(KEYS), asked) as url:
        keeper = TokenKeeper(replace(CONFIG, keys_url=url), tokens, look_every_s=0.001)
        async with keeper:
            text = token(kid="none")
            for _ in range(10_000):
                assert tokens.identify(text, time.time()) is None
            looked = 0
            while looked < 5:
                await keeper._fetch_if_due()
                looked += 1
    assert len(asked) == 1


async def test_J10_an_issuer_that_is_down_is_no_reason_not_to_start() -> None:
    tokens = Tokens(CONFIG)
    async with TokenKeeper(replace(CONFIG, keys_url="http://127.0.0.1:9/keys"), tokens) as keeper:
        assert keeper.fetches == 1
        assert tokens.identify(token(), time.time()) is None


async def test_J14_a_redirect_is_not_followed() -> None:
    tokens, asked, elsewhere = Tokens(CONFIG), list[str](), list[str]()
    async with issuer(dict(KEYS), elsewhere) as target:
        answer = web.Response(status=302, headers={"Location": target})
        async with issuer(answer, asked) as url, TokenKeeper(replace(CONFIG, keys_url=url), tokens):
            assert tokens.identify(token(), time.time()) is None
    assert (len(asked), elsewhere) == (1, [])


async def test_J14_a_document_without_end_is_not_read_to_it() -> None:
    tokens = Tokens(CONFIG)
    answer = web.Response(body=b" " * 10 * 2**20 + json.dumps(KEYS).encode())
    async with issuer(answer, []) as url, TokenKeeper(replace(CONFIG, keys_url=url), tokens):
        assert tokens.identify(token(), time.time()) is None


@pytest.mark.parametrize(
    "url",
    ["", "http://issuer.example/keys", "http://169.254.169.254/", "file:///keys", "http://[", "ftp://x"],
)
def test_J14_an_address_that_anybody_could_stand_in_for_is_refused(url: str) -> None:
    with pytest.raises(TokenKeysUnusable):
        check_address(url)
