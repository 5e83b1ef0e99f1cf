"""Every route answers its own method and no other (faults.md, row A27)."""

import pytest

from onnxd.http_frontend.call import Route
from tests.support.http_server import HttpServer
from tests.support.raw_http import connect, request_bytes

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND"]


def concrete(route: Route) -> str:
    return route.path.replace("{model}", "identity").replace("{version}", "1").replace("{repo}", "disk")


@pytest.mark.parametrize("method", METHODS, ids="A27-{}".format)
async def test_another_method_is_refused_with_those_allowed(server: HttpServer, method: str) -> None:
    for path in {concrete(route) for route in server.frontend.routes}:
        allowed = {route.method for route in server.frontend.routes if concrete(route) == path}
        if method in allowed:
            continue
        async with connect(server.port) as connection:
            await connection.send(request_bytes(method, path))
            answer = await connection.answer(head_only=method == "HEAD")
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == allowed
        if method != "HEAD":
            assert answer.error == "Method Not Allowed"
    assert server.stand.control.loaded == server.stand.control.unloaded == []


@pytest.mark.parametrize("target", ["localhost:80", "/v2/models/identity/infer"], ids="A27-CONNECT-{}".format)
async def test_no_tunnel_is_opened(server: HttpServer, target: str) -> None:
    answer = await server.send(request_bytes("CONNECT", target))
    assert answer.status in (400, 405)
    assert answer.error


async def test_A27_options_for_the_whole_server_is_not_found(server: HttpServer) -> None:
    assert (await server.send(request_bytes("OPTIONS", "*"))).status == 404


async def test_no_route_is_there_twice(server: HttpServer) -> None:
    labels = [route.label for route in server.frontend.routes]
    assert len(labels) == len(set(labels))
