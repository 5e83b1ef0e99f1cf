"""The console, in a real browser: what it shows is what is, and what it offers works."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect
from prometheus_client.parser import text_string_to_metric_families

from onnxd_client import AsyncClient
from tests.contract.pages.conftest import with_key
from tests.support.graphs import identity, row_constant
from tests.support.server import ROOT, RunningServer, publish, running_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ROW = np.ones((1, 4), np.float32)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("console")
    shutil.copytree(ROOT / "model_repository" / "digits", root / "models" / "digits")
    publish(root / "models", "one", 1, identity(), "max_batch_size: 8\n")
    publish(root / "models", "broken", 1, b"nothing")
    async with running_server(root / "models", root / "state") as running:
        yield running


def row(page: Page, model: str, version: int) -> Locator:
    return page.locator(f'tr[data-model="{model}"][data-version="{version}"]')


async def counted(server: RunningServer, name: str, model: str) -> float:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{server.http}/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.removesuffix("_total") == name and sample.labels.get("model") == model
    )


async def test_the_table_has_every_version_with_its_state_and_its_reason(
    server: RunningServer, page: Page
) -> None:
    await page.goto(server.http)
    await expect(page.get_by_role("status")).to_have_text("ready")
    for model, version in (("digits", 1), ("digits", 2), ("one", 1)):
        await expect(row(page, model, version)).to_contain_text("READY")
        await expect(row(page, model, version)).to_contain_text("CPU")
    await expect(row(page, "broken", 1)).to_contain_text("UNAVAILABLE")
    await expect(row(page, "broken", 1)).to_contain_text("not an ONNX model")


async def test_the_numbers_are_those_of_the_metrics(server: RunningServer, page: Page) -> None:
    await page.goto(server.http)
    await expect(row(page, "one", 1)).to_be_visible()
    async with AsyncClient(server.http) as client:
        for _ in range(7):
            await client.infer("one", {"x": ROW})
    answered = await counted(server, "nv_inference_request_success", "one")
    assert answered >= 7
    await expect(row(page, "one", 1).locator("td").nth(3)).to_have_text(f"{answered:.0f}")
    await page.goto(f"{server.http}/#/models/one")
    runs = await counted(server, "nv_inference_exec_count", "one")
    await expect(page.get_by_role("heading", name="Batches by rows")).to_be_visible()
    await expect(page.locator("main")).to_contain_text(f"{runs:.0f} runs")
    chart = page.get_by_role("img", name="Batches by rows")
    await expect(chart).to_have_attribute("aria-label", re.compile(rf"1: {runs:.0f}"))


async def test_a_picture_is_dropped_in_and_recognised(server: RunningServer, page: Page) -> None:
    await page.goto(f"{server.http}/#/models/digits/try")
    await page.get_by_label("Picture", exact=True).set_input_files(ROOT / "docs/examples/three.png")
    await expect(page.get_by_label("pixels: values")).not_to_have_value(re.compile(r"^(0, )*0$"))
    await page.get_by_role("button", name="Run").click()
    answer = page.locator(".bars span").first
    await expect(answer).to_have_text("three")


async def test_the_same_call_is_there_to_copy_and_works(server: RunningServer, page: Page) -> None:
    await page.goto(f"{server.http}/#/models/one/try")
    await page.get_by_label("x: values").fill("1, 2, 3, 4")
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_label("y", exact=True)).to_have_text("[1,2,3,4]")
    curl = await page.get_by_label("curl", exact=True).text_content() or ""
    body = curl.partition("-d '")[2].rstrip("'")
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{server.http}/v2/models/one/infer", content=body)
    assert reply.json()["outputs"][0]["data"] == [1, 2, 3, 4]
    assert "client.infer" in (await page.get_by_label("Python", exact=True).text_content() or "")
    assert "ModelInfer" in (await page.get_by_label("grpcurl", exact=True).text_content() or "")


async def test_a_numpy_file_fills_the_form(server: RunningServer, page: Page, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(8, dtype=np.int16).reshape(2, 4))
    await page.goto(f"{server.http}/#/models/one/try")
    await page.get_by_label("or a NumPy file").set_input_files(tmp_path / "rows.npy")
    await expect(page.get_by_label("x: size of dimension 0")).to_have_value("2")
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_label("y", exact=True)).to_have_text("[0,1,2,3,4,5,6,7]")


async def test_what_the_form_cannot_send_is_said(server: RunningServer, page: Page) -> None:
    await page.goto(f"{server.http}/#/models/one/try")
    await page.get_by_label("x: values").fill("1, 2, 3")
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_role("alert")).to_contain_text("x: [1, 4] has 4 elements, and there are 3")


async def test_the_config_says_where_each_value_comes_from(server: RunningServer, page: Page) -> None:
    await page.goto(f"{server.http}/#/models/digits/config")
    line = page.get_by_role("row", name=re.compile("^max_batch_size"))
    await expect(line).to_contain_text("32")
    await expect(line).to_contain_text("config.yaml:2")
    await expect(page.get_by_role("row", name=re.compile(r"^inputs\[0\].datatype"))).to_contain_text("graph")


async def test_a_reload_and_an_unload_are_seen_as_they_happen(server: RunningServer, page: Page) -> None:
    await page.goto(server.http)
    publish(server.repository, "fresh", 1, row_constant(1), "max_batch_size: 8\n")
    await expect(row(page, "fresh", 1)).to_contain_text("READY", timeout=20_000)
    publish(server.repository, "fresh", 2, row_constant(2), "max_batch_size: 8\n")
    await expect(row(page, "fresh", 2)).to_contain_text("READY", timeout=20_000)
    await page.get_by_role("link", name="fresh").first.click()
    await page.get_by_role("button", name="Unload").click()
    await expect(page.locator("main")).to_contain_text("unloaded", timeout=20_000)
    await page.get_by_role("button", name="Load", exact=True).click()
    await expect(page.locator("main")).to_contain_text("READY", timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_used_without_seeing_it(server: RunningServer, page: Page, scheme: str) -> None:
    """axe-core finds nothing serious on any of its views."""
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for view in ("#/", "#/models/digits", "#/models/digits/try", "#/models/digits/config"):
        await page.goto(f"{server.http}/{view}")
        await expect(page.locator("main h1")).to_be_visible()
        await expect(page.get_by_role("status")).to_have_text("ready")
        results = await Axe().run(page)
        found = {
            issue["id"]: [node["html"] for node in issue["nodes"]]
            for issue in results.response["violations"]
            if issue["impact"] in ("serious", "critical")
        }
        assert found == {}, view


async def test_it_is_usable_with_the_keyboard_alone(server: RunningServer, page: Page) -> None:
    await page.goto(server.http)
    link = page.get_by_role("link", name="one", exact=True)
    await expect(link).to_be_visible()
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await link.evaluate("link => link === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.locator("main h1")).to_have_text("one")


async def test_with_keys_it_asks_for_one_and_does_no_more_than_that_permits(
    page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("keys")
    async with with_key(root, "reader", models=("one",)) as (server, key):
        await page.goto(server.http)
        await page.get_by_label("Key or token").fill(key)
        await page.get_by_role("button", name="Use it").click()
        await expect(page.get_by_role("status")).to_have_text("ready")
        await page.get_by_role("link", name="one", exact=True).click()
        await expect(page.get_by_role("button", name="Unload")).to_be_visible()
        async with page.expect_response(re.compile("unload")) as refused:
            await page.get_by_role("button", name="Unload").click()
        assert (await refused.value).status == 403
        await expect(page.get_by_role("alert")).to_contain_text("may not do 'control'")
        assert server.server.inference.model_ready("one", 1)
        await page.close()
