"""Pages for people: the console, the description of the API, and Swagger UI to read and try it.

The page and its parts are the same for everybody and hold nothing of what is served; what they show they ask
for, with the credential that the reader enters. Nothing is loaded from elsewhere.
"""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from onnxd.errors import NotFound
from onnxd.http_frontend.call import Call, Handler, Route
from onnxd.http_frontend.openapi.document import describe
from onnxd.http_frontend.responses import SERVER_HEADERS, json_response
from onnxd.inference import InferenceService
from onnxd.security.gate import may_see

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of every page and its parts: no other site may frame it, and it may load nothing from any. Styles may be
inline: Swagger UI sets them from its script."""

_ASSETS: Final = (("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "text/javascript"))

_CONSOLE: Final = Path(__file__).parent / "console"
"""Plain files, as they are sent: nothing builds them."""
_PART_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}

_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>onnxd: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="api"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  displayRequestDuration: true,
});
"""


@dataclass(slots=True)
class PageHandlers:
    """What a browser asks for."""

    inference: InferenceService
    server_version: str
    authenticates: bool
    described: tuple[Route, ...] = ()
    """What the description is of: all routes, once they are known."""

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("GET", "/openapi.json", self.openapi, "metadata"),
            *(
                Route("GET", path, _page_handler(read, content_type), "pages")
                for path, read, content_type in _pages()
            ),
        )

    async def openapi(self, call: Call) -> web.Response:
        """With an operation for each model that the caller may see; of several versions the highest's."""
        serving = {served.spec.name: served.spec for served in self.inference.serving(None, None)}
        models = [spec for name, spec in sorted(serving.items()) if may_see(call.caller, "metadata", name)]
        return json_response(
            describe(self.described, models, version=self.server_version, authenticates=self.authenticates)
        )


def _pages() -> Iterator[tuple[str, Callable[[], bytes], str]]:
    """Path, content and its type of all that is the same for everybody."""
    yield "/", partial(_file, _CONSOLE / "index.html"), "text/html"
    for file in sorted(_CONSOLE.iterdir()):
        if file.suffix in _PART_TYPES:
            yield f"/console/{file.name}", partial(_file, file), _PART_TYPES[file.suffix]
    yield "/docs", lambda: _PAGE, "text/html"
    yield "/docs/start.js", lambda: _START, "text/javascript"
    for name, content_type in _ASSETS:
        yield f"/docs/{name}", partial(_asset, name), content_type


def page(content: bytes, content_type: str) -> web.Response:
    """A page, or a part of one."""
    headers = CIMultiDict(SERVER_HEADERS)
    headers.update(PAGE_HEADERS)
    headers["Content-Type"] = f"{content_type}; charset=utf-8"
    return web.Response(body=content, headers=headers)


def _page_handler(read: Callable[[], bytes], content_type: str) -> Handler:
    """Of a page, or a part of one, that is read when it is asked for."""

    async def answer(_: Call) -> web.Response:
        return page(read(), content_type)

    return answer


_file: Final = cache(Path.read_bytes)


@cache
def _asset(name: str) -> bytes:
    """A file of Swagger UI. Raises NotFound where the package that brings it is not installed."""
    found = importlib.util.find_spec("swagger_ui")
    if found is None or not found.submodule_search_locations:
        raise NotFound("the page needs the package swagger-ui-py, which is not installed here")
    # Read from its files: to import the package would import web frameworks.
    return (Path(found.submodule_search_locations[0]) / "static" / name).read_bytes()
