"""From a path to its routes, without a server."""

import pytest
from aiohttp import web

from onnxd.http_frontend.call import Call, Route
from onnxd.http_frontend.router import Found, Router


async def handler(_: Call) -> web.Response:
    return web.Response()


def route(method: str, path: str) -> Route:
    return Route(method, path, handler, "metadata")


ROUTER = Router(
    [
        route("GET", "/v2"),
        route("GET", "/v2/models/stats"),
        route("GET", "/v2/models/{model}"),
        route("POST", "/v2/models/{model}"),
        route("GET", "/v2/models/{model}/stats"),
        route("POST", "/v2/models/{model}/infer"),
        route("POST", "/v2/models/{model}/versions/{version}/infer"),
        route("POST", "/v2/repository/models/{model}/load"),
        route("POST", "/v2/repository/{repo}/models/{model}/load"),
        route("POST", "/v2/repository/{repo}/index"),
    ]
)


def found(path: str) -> Found:
    result = ROUTER.find(path)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("path", "pattern", "model", "version"),
    [
        ("/v2", "/v2", "", ""),
        ("/v2/models/stats", "/v2/models/stats", "", ""),
        ("/v2/models/m", "/v2/models/{model}", "m", ""),
        ("/v2/models/stats/stats", "/v2/models/{model}/stats", "stats", ""),
        ("/v2/models/m/versions/12/infer", "/v2/models/{model}/versions/{version}/infer", "m", "12"),
        ("/v2/models/versions/infer", "/v2/models/{model}/infer", "versions", ""),
        ("/v2/repository/models/models/load", "/v2/repository/models/{model}/load", "models", ""),
        ("/v2/repository/disk/models/m/load", "/v2/repository/{repo}/models/{model}/load", "m", ""),
        ("/v2/repository/models/index", "/v2/repository/{repo}/index", "", ""),
        ("/v2/models/a%2Fb/infer", "/v2/models/{model}/infer", "a/b", ""),
        ("/v2/models/%E2%82%AC/infer", "/v2/models/{model}/infer", "€", ""),
        ("/v2/models//infer", "/v2/models/{model}/infer", "", ""),
    ],
)
def test_a_path_leads_to_its_pattern(path: str, pattern: str, model: str, version: str) -> None:
    result = found(path)
    assert {each.path for each in result.methods.values()} == {pattern}
    assert (result.model, result.version) == (model, version)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v2/", "//v2", "/v2/models", "/v2/models/m/nothing", "/v2/models/m/versions/x/infer",
     "/v2/models/m/versions//infer", "/v2/models/m/versions/1/infer/", "/v2/models/m%2Finfer/x", "v2",
     "/v2/repository//index", "/v2/repository//models/m/load", "/v2/repository/a/b/index"],
)  # fmt: skip
def test_a_path_of_no_pattern_leads_nowhere(path: str) -> None:
    assert ROUTER.find(path) is None


def test_one_path_has_all_its_methods() -> None:
    assert set(found("/v2/models/m").methods) == {"GET", "POST"}


def test_bytes_that_are_not_utf_8_stay_apart() -> None:
    assert found("/v2/models/%ff/infer").model == "\udcff"


def test_the_same_route_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes for GET /v2"):
        Router([route("GET", "/v2"), route("GET", "/v2")])
