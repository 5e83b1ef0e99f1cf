"""Names, versions and paths that lead nowhere (faults.md, table B)."""

import pytest
from structlog.typing import EventDict

from tests.support.http_server import INFER, HttpServer
from tests.support.raw_http import Answer, request_bytes
from tests.support.serving import identity_spec, served_version

OPERATIONS = ["infer", "load", "unload", "config", "stats", "ready"]


async def ask(server: HttpServer, operation: str, name: str) -> Answer:
    """One operation on a model, its name put into the path as it is."""
    match operation:
        case "infer":
            return await server.post(f"/v2/models/{name}/infer", INFER)
        case "load" | "unload":
            return await server.post(f"/v2/repository/models/{name}/{operation}")
        case _:
            return await server.get(f"/v2/models/{name}/{operation}")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("..", id="B1-dot-dot"),
        pytest.param(".", id="B1-dot"),
        pytest.param("a%2F..%2Fb", id="B1-path"),
        pytest.param("%2fetc%2fpasswd", id="B1-absolute"),
        pytest.param("m%2F", id="B1-slash-behind"),
        pytest.param("%5C..%5Cx", id="B1-backslashes"),
        pytest.param("\\..\\x", id="B1-bare-backslashes"),
        pytest.param("%2e%2e", id="B2-encoded-dots"),
        pytest.param("..%2f..%2fetc", id="B2-encoded-path"),
        pytest.param("%252e%252e%252f", id="B2-encoded-twice"),
        pytest.param("%5c", id="B2-backslash"),
        pytest.param("%c0%ae", id="B2-overlong"),
        pytest.param("a%00b", id="B3-nul"),
        pytest.param("a%0ab", id="B3-line-feed"),
        pytest.param("%ff", id="B3-not-utf-8"),
        pytest.param("%e2%80%aeabc", id="B3-bidi"),
        pytest.param("", id="B3-empty"),
        pytest.param("%20%20", id="B3-blanks"),
        pytest.param("%09", id="B3-tab"),
        pytest.param("a" * 129, id="B3-129-characters"),
        pytest.param("a" * 2**20, id="B3-megabyte"),
        pytest.param("%zz", id="B3-not-percent-encoding"),
        pytest.param("\xe9", id="B3-raw-byte"),
    ],
)
async def test_a_name_that_could_not_be_a_model_is_refused(
    server: HttpServer, own_logs: list[EventDict], name: str, operation: str
) -> None:
    answer = await ask(server, operation, name)
    assert answer.status == 400
    assert all(character.isprintable() for character in answer.error)
    assert server.stand.control.loaded == server.stand.control.unloaded == []
    assert all(str(event).isprintable() for event in own_logs)


@pytest.mark.parametrize(
    "path", ["/v2/models/a/../b/infer", "/v2/models//etc/passwd/infer"], ids="B1-{}".format
)
async def test_a_bare_path_in_a_names_place_leads_nowhere(server: HttpServer, path: str) -> None:
    assert (await server.post(path, INFER)).status == 404


@pytest.mark.parametrize("name", ["m.1", "m-1", "M_1", "1", "stats", "a" * 128], ids="B4-{}".format)
async def test_an_odd_name_that_is_legal_works(server: HttpServer, name: str) -> None:
    server.stand.serve(served_version(identity_spec(name)))
    for operation in OPERATIONS:
        assert (await ask(server, operation, name)).status == 200


async def test_a_percent_encoded_name_is_the_name(server: HttpServer) -> None:
    assert (await ask(server, "infer", "%69dentity")).status == 200


@pytest.mark.parametrize(
    ("version", "status"),
    [
        pytest.param("0", 400, id="B6-zero"),
        pytest.param("01", 400, id="B6-leading-zero"),
        pytest.param(str(2**63), 400, id="B6-beyond-64-bits"),
        pytest.param("1" * 1000, 400, id="B6-1000-digits"),
        pytest.param("-1", 404, id="B6-negative"),
        pytest.param("1.0", 404, id="B6-fraction"),
        pytest.param("abc", 404, id="B6-word"),
        pytest.param("%201", 404, id="B6-blank-before"),
        pytest.param("", 404, id="B6-empty"),
        pytest.param("%C2%B2", 404, id="B6-digit-of-another-script"),
        pytest.param("2", 404, id="B6-valid-but-missing"),
        pytest.param("1", 200, id="B6-right"),
    ],
)
async def test_a_version_is_a_positive_integer(server: HttpServer, version: str, status: int) -> None:
    path = f"/v2/models/identity/versions/{version}"
    assert (await server.get(path)).status == status
    assert (await server.post(f"{path}/infer", INFER)).status == status


async def test_B7_unknown_names_leave_nothing_behind(server: HttpServer) -> None:
    for number in range(300):
        answer = await server.post(f"/v2/models/unknown-{number}/infer", INFER)
        assert answer.status == 404
        assert f"unknown-{number}" in answer.error
    assert server.stand.catalog.names() == ("identity", "wide")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/",
        "/v2/nothing",
        "/v2/models",
        "/v2/models/identity/",
        "/v2/health/live/",
        "/V2",
        "/nothing",
        "/v2/trace/settings",
        "/v2/models/identity/versions/1/trace/setting",
    ],
    ids="B8-{}".format,
)
async def test_a_path_without_a_route_is_not_found(server: HttpServer, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await server.send(request_bytes(method, path))
        assert answer.status == 404
        assert answer.error == "Not Found"


@pytest.mark.parametrize("operation", ["load", "unload"])
@pytest.mark.parametrize(
    ("host", "headers"),
    [
        pytest.param("evil", {}, id="B9-foreign-host"),
        pytest.param("evil.example:8000", {}, id="B9-foreign-host-and-port"),
        pytest.param("127.0.0.1.evil.example", {}, id="B9-host-that-begins-right"),
        pytest.param("localhost", {"Origin": "http://evil"}, id="B9-foreign-origin"),
        pytest.param("localhost", {"Origin": "null"}, id="B9-null-origin"),
        pytest.param("localhost:1", {"Origin": "http://localhost:2"}, id="B9-other-port"),
        pytest.param("evil", {"Origin": "http://evil"}, id="B9-rebound-name"),
        pytest.param("localhost", {"Origin": "http://[bad"}, id="B9-origin-that-is-none"),
    ],
)
async def test_a_web_page_cannot_load_or_unload(
    server: HttpServer, operation: str, host: str, headers: dict[str, str]
) -> None:
    path = f"/v2/repository/models/identity/{operation}"
    answer = await server.send(request_bytes("POST", path, headers=headers, host=host))
    assert answer.status == 403
    assert answer.error
    assert server.stand.control.loaded == server.stand.control.unloaded == []


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost", {}),
        ("127.0.0.1:8000", {}),
        ("[::1]:8000", {}),
        ("LOCALHOST:8000", {"Origin": "http://localhost:8000"}),
    ],
)
async def test_a_local_caller_can(server: HttpServer, host: str, headers: dict[str, str]) -> None:
    path = "/v2/repository/models/identity/load"
    answer = await server.send(request_bytes("POST", path, headers=headers, host=host))
    assert answer.status == 200
    assert server.stand.control.loaded == ["identity"]


async def test_a_foreign_host_may_still_infer(server: HttpServer) -> None:
    path = "/v2/models/identity/infer"
    assert (await server.send(request_bytes("POST", path, INFER, host="proxy.example"))).status == 200
