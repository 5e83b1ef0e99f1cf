"""One browser for all tests of pages."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page

from onnxd.security import key_file
from onnxd.security.config import AuthConfig
from tests.support.browser import chromium
from tests.support.graphs import identity
from tests.support.server import RunningServer, publish, running_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that fails its test when something on it does."""
    context = await browser.new_context(viewport={"width": 1280, "height": 1000})
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page
    await context.close()
    # To be refused is how a page learns that it needs a credential, or another one.
    assert [text for text in wrong if not re.search(r"status of 40[13]", text)] == []


@asynccontextmanager
async def with_key(
    root: Path, *scopes: str, models: Sequence[str]
) -> AsyncIterator[tuple[RunningServer, str]]:
    """A server that asks for credentials, and the one key that there is."""
    for name in models:
        publish(root / "models", name, 1, identity(), "max_batch_size: 8\n")
    keys, key = key_file.empty().with_new("somebody", scopes, 1_800_000_000.0, None)
    key_file.save(root / "keys.json", keys)
    auth = AuthConfig(keys_file=root / "keys.json")
    async with running_server(root / "models", root / "state", auth=auth) as server:
        yield server, key.text()
