"""The page of the API, in a real browser that may talk to nobody else."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.contract.pages.conftest import with_key
from tests.support.browser import chromium
from tests.support.graphs import identity
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("docs")
    publish(root / "models", "one", 1, identity(), "max_batch_size: 8\n")
    async with running_server(root / "models", root / "state") as running:
        yield running


@pytest.mark.slow
async def test_a_model_can_be_tried_on_the_page(server: RunningServer) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url))
        await page.goto(f"{server.http}/docs")
        operation = page.locator("#operations-model_one-infer_one")
        await operation.locator("button.opblock-summary-control").click()
        await operation.locator("button.execute").click()
        await operation.locator(".live-responses-table", has_text='"model_name": "one"').wait_for()
    assert not said
    assert all(url.startswith((server.http, "data:")) for url in asked), asked


async def test_a_page_may_not_be_framed_and_loads_nothing_from_elsewhere(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.http) as client:
        for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"):
            headers = (await client.get(path)).headers
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"


async def test_with_keys_the_page_is_there_for_everybody_and_the_description_for_who_has_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("keys")
    async with (
        with_key(root, "metadata:seen", models=("seen", "hidden")) as (server, key),
        httpx.AsyncClient(base_url=server.http) as client,
    ):
        assert (await client.get("/docs")).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 401
        described = (await client.get("/openapi.json", headers={"X-API-Key": key})).json()
    assert "/v2/models/seen/infer" in described["paths"]
    assert "/v2/models/hidden/infer" not in described["paths"]
    assert described["components"]["securitySchemes"].keys() == {"bearer", "key"}
