"""The documentation site builds without a broken link, and would not build with one."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from scripts.docs_site import build
from tests.support.browser import chromium
from tests.support.server import ROOT


def copy_of_docs(folder: Path) -> Path:
    """What the site is built from, in a directory of its own."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copyfile(ROOT / "zensical.toml", folder / "zensical.toml")
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(directory: Path) -> Iterator[str]:
    """Sends the files of a directory to whoever asks at this address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_of_docs(tmp_path_factory.mktemp("site"))
    assert build(root) == []
    return root / "site"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "zensical.toml").read_text("utf-8")
    assert [
        page.name for page in sorted((ROOT / "docs").glob("*.md")) if f'"{page.name}"' not in navigation
    ] == []


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "SECURITY.md", "clients/README.md"])
def test_pages_outside_of_the_site_link_to_files_that_exist(page: str) -> None:
    source = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", source.read_text("utf-8"))
    assert [link for link in links if not (source.parent / link).exists()] == []


def test_files_of_the_repository_that_pages_link_to_are_part_of_the_site(built: Path) -> None:
    assert (built / "files/config/server.yaml").read_bytes() == (ROOT / "config/server.yaml").read_bytes()
    assert 'href="files/config/server.yaml"' in (built / "settings.html").read_text("utf-8")


@pytest.mark.slow
async def test_a_browser_finds_an_error_and_asks_nobody_else_for_anything(built: Path) -> None:
    async with chromium() as browser:
        tab = await browser.new_page()
        asked: set[str] = set()
        tab.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        with web_server(built) as address:
            for page in ("tutorial.html", "settings.html", "index.html"):
                await tab.goto(f"http://{address}/{page}", wait_until="networkidle")
            await tab.keyboard.press("Control+k")
            await tab.keyboard.type("queuefull")
            await tab.get_by_text("More is asked of this model").wait_for()
    assert asked <= {address, ""}


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    root = copy_of_docs(tmp_path)
    with (root / "docs/faq.md").open("a") as page:
        page.write("\n[gone](no-such-page.md)\n[moved](config.md#no-such-anchor)\n")
    said = "\n".join(build(root))
    assert "page does not exist" in said
    assert "anchor does not exist" in said


def test_what_the_generator_does_not_see_fails_the_build_too(tmp_path: Path) -> None:
    root = copy_of_docs(tmp_path)
    with (root / "docs/faq.md").open("a") as page:
        page.write(
            "\n![gone](images/none.png) [file](../config/none.yaml) ![far](https://example.com/a.png)\n"
        )
    assert sorted(line.split()[-1] for line in build(root)) == ["elsewhere", "nowhere", "nowhere"]
