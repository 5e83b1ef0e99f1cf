"""Build the documentation site, strictly: `python -m scripts.docs_site`.

Makes `site/` from `docs/` as `zensical.toml` says. A link, an anchor or a picture that leads nowhere fails
the build, and so does anything that a page would load from elsewhere. Pages link to files of the repository
as they must on the repository's host; those that are no pages are copied into the site.
"""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from click import unstyle

ROOT: Final = Path(__file__).resolve().parents[1]
SITE: Final = "site"
FILES: Final = "files"
"""Where in the site the copied files lie."""

_LEAVING: Final = re.compile(r'(href="?)((?:\.\./)+[^"\s>#]+)')
_IN_STYLES: Final = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])((?:https?:)?//[^\"')]+)")
_NOT_LOADED: Final = {"canonical", "prev", "next", "alternate"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if "href" in values:
            loaded = tag == "link" and values.get("rel") not in _NOT_LOADED
            (self.loads if loaded else self.links).add(values["href"])
        if "src" in values:
            self.loads.add(values["src"])

    @classmethod
    def read(cls, file: Path) -> "Page":
        page = cls()
        page.feed(file.read_text("utf-8"))
        return page


def build(root: Path) -> list[str]:
    """Make `site/` in a directory with `docs/` and `zensical.toml`. What is wrong with it; [] = nothing."""
    root = root.resolve()
    site = root / SITE
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(  # noqa: S603 -- our own interpreter, and no shell
        command, cwd=root, capture_output=True, text=True
    )
    if done.returncode:
        return [unstyle(done.stdout + done.stderr).partition("Traceback")[0].strip()]
    for page in site.rglob("*.html"):
        _bring_files(page, root)
    return problems(site)


def _bring_files(page: Path, root: Path) -> None:
    """Copy what the page links to outside of the site, which lies beside docs/, and link to the copies."""
    site = root / SITE

    def brought(match: re.Match[str]) -> str:
        target = (page.parent / match[2]).resolve()
        if target.is_relative_to(site) or not target.is_relative_to(root) or not target.is_file():
            return match[0]
        copy = site / FILES / target.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, copy)
        return match[1] + os.path.relpath(copy, page.parent)

    text = page.read_text("utf-8")
    changed = _LEAVING.sub(brought, text)
    if changed != text:
        page.write_text(changed, "utf-8")


def problems(site: Path) -> list[str]:
    """What leads nowhere in a built site, or is loaded from elsewhere."""
    pages = {file: Page.read(file) for file in sorted(site.rglob("*.html"))}
    found = [problem for file, page in pages.items() for problem in _problems_of(file, page, pages, site)]
    for sheet in sorted(site.rglob("*.css")):
        elsewhere = _IN_STYLES.findall(sheet.read_text("utf-8"))
        found += [f"{sheet.relative_to(site)}: loads {url} from elsewhere" for url in elsewhere]
    return found


def _problems_of(file: Path, page: Page, pages: dict[Path, Page], site: Path) -> list[str]:
    name = file.relative_to(site)
    found = []
    for reference in sorted(page.links | page.loads):
        parts = urlsplit(reference)
        if parts.scheme or parts.netloc:
            if reference in page.loads and parts.scheme != "data":
                found.append(f"{name}: loads {reference} from elsewhere")
            continue
        target = _target(file, unquote(parts.path), site)
        if not target.is_relative_to(site) or not target.is_file():
            found.append(f"{name}: {reference} leads nowhere")
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            found.append(f"{name}: {reference} has no such anchor")
    return found


def _target(file: Path, path: str, site: Path) -> Path:
    """The file that a browser is sent for a path on a page."""
    base = site / path.lstrip("/") if path.startswith("/") else file.parent / path
    target = Path(os.path.normpath(base)) if path else file
    return target / "index.html" if target.is_dir() else target


def main() -> int:
    found = build(ROOT)
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    print(f"{ROOT / SITE / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
