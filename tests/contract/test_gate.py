"""Every route and every gRPC method stands behind the gate, over both protocols and for every client."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from tritonclient.utils import InferenceServerException

from onnxd.grpc_frontend.operations import operation_of
from onnxd.http_frontend.call import Route
from onnxd.security import key_file
from onnxd.security.api_key import read_key
from onnxd.security.config import AuthConfig
from onnxd.security.operations import OPERATIONS
from onnxd.telemetry.audit import AuditConfig
from onnxd_client import AsyncClient, PermissionDenied, Unauthenticated
from onnxd_protos.services import SERVICES
from tests.support.graphs import identity
from tests.support.raw_http import connect, request_bytes
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW_S: Final = 1_800_000_000.0
CONFIG: Final = "max_batch_size: 8\n"
ROW: Final = np.ones((1, 4), np.float32)
ADMIN: Final = frozenset(name for name, row in OPERATIONS.items() if row.admin)


class Keys:
    """The keys of the server under test, by who has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._set = key_file.empty()
        self._ids: dict[str, str] = {}
        self.of: dict[str, str] = {}

    def add(self, principal: str, *scopes: str) -> str:
        self._set, key = self._set.with_new(principal, scopes, NOW_S, None)
        self.of[principal], self._ids[principal] = key.text(), key.id
        key_file.save(self.path, self._set)
        return key.text()

    def revoke(self, principal: str) -> None:
        revoked = self._set.without(self._ids[principal])
        assert revoked is not None
        self._set = revoked
        key_file.save(self.path, revoked)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    keys = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    keys.add("invoker", "infer:m*")
    keys.add("reader", "reader")
    keys.add("root", "admin")
    return keys


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("gate")
    for model in ("m1", "other"):
        publish(root / "models", model, 1, identity(), CONFIG)
    auth = AuthConfig(keys_file=keys.path, keys_interval=0.02)
    audit = AuditConfig(keys.path.parent / "audit.jsonl")
    async with running_server(root / "models", root / "state", auth=auth, audit=audit) as running:
        yield running


def head(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


async def asked(server: RunningServer, route: Route, key: str | None, model: str = "m1") -> int:
    """The status of a route, asked for with an empty body."""
    path = route.path.replace("{model}", model).replace("{version}", "1")
    path = path.replace("{repo}", "r").replace("{region}", "r")
    async with httpx.AsyncClient(base_url=server.http) as http:
        return (await http.request(route.method, path, headers=head(key))).status_code


METHODS: Final = sorted(
    {method.path for service in SERVICES.values() for method in service.values()}
    | {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)


async def called(server: RunningServer, path: str, key: str | None) -> grpc.StatusCode:
    """The code of a method, called with one empty message; OK as soon as it answers."""
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call: Any = channel.stream_stream(path)(messages(), metadata=tuple(head(key).items()), timeout=20)
        try:
            await call.read()
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


async def messages() -> AsyncIterator[Any]:
    yield b""


async def test_J1_every_route_without_a_key_is_refused_but_health_and_pages(server: RunningServer) -> None:
    routes = server.server.http.routes
    statuses = {route.label: await asked(server, route, None) for route in routes}
    public = {route.label for route in routes if route.operation in ("health", "pages")}
    assert len(routes) > 40
    assert {label for label, status in statuses.items() if status != 401} == public


async def test_J1_every_method_without_a_key_is_refused_but_health(server: RunningServer) -> None:
    codes = {path: await called(server, path, None) for path in METHODS}
    health = {path for path in METHODS if operation_of(path) == "health"}
    assert {path for path, code in codes.items() if code is not grpc.StatusCode.UNAUTHENTICATED} == health


async def test_J1_the_port_for_scrapers_needs_a_key_too(server: RunningServer, keys: Keys) -> None:
    async with httpx.AsyncClient() as http:
        assert (await http.get(server.metrics)).status_code == 401
        assert (await http.get(server.metrics, headers=head(keys.of["reader"]))).status_code == 200


@pytest.mark.parametrize("who", ["invoker", "reader"])
async def test_J2_no_route_of_an_admin_is_anybody_elses(server: RunningServer, keys: Keys, who: str) -> None:
    for route in server.server.http.routes:
        if route.operation in ADMIN:
            assert await asked(server, route, keys.of[who]) == 403, route.label


async def test_J2_no_method_of_an_admin_is_anybody_elses(server: RunningServer, keys: Keys) -> None:
    for path in METHODS:
        if operation_of(path) in ADMIN:
            assert await called(server, path, keys.of["invoker"]) is grpc.StatusCode.PERMISSION_DENIED, path


async def test_J2_settings_are_read_by_a_reader_and_changed_by_an_admin(
    server: RunningServer, keys: Keys
) -> None:
    async with triton_grpc.InferenceServerClient(server.grpc) as client:
        reader, root = head(keys.of["reader"]), head(keys.of["root"])
        await client.get_log_settings(headers=reader)
        with pytest.raises(InferenceServerException, match="PERMISSION_DENIED"):
            await client.update_log_settings({"log_verbose_level": 1}, headers=reader)
        with pytest.raises(InferenceServerException, match="PERMISSION_DENIED"):
            await client.update_trace_settings(settings={"trace_rate": "5"}, headers=reader)
        await client.update_log_settings({"log_verbose_level": 0}, headers=root)


@pytest.mark.parametrize("model", ["other", "M1"])
async def test_J3_a_permission_on_some_models_is_none_on_others(
    server: RunningServer, keys: Keys, model: str
) -> None:
    key = keys.of["invoker"]
    async with AsyncClient(server.http, headers=head(key)) as http:
        assert (await http.infer("m1", {"x": ROW}))["y"].tolist() == ROW.tolist()
        with pytest.raises(PermissionDenied, match=f"on model '{model}'"):
            await http.infer(model, {"x": ROW})
    async with AsyncClient(f"grpc://{server.grpc}", headers=head(key)) as calls:
        assert (await calls.infer("m1", {"x": ROW}))["y"].tolist() == ROW.tolist()
        with pytest.raises(PermissionDenied, match=f"on model '{model}'"):
            await calls.infer(model, {"x": ROW})


async def test_J3_a_path_that_climbs_is_no_way_around(server: RunningServer, keys: Keys) -> None:
    async with httpx.AsyncClient(base_url=server.http, headers=head(keys.of["invoker"])) as http:
        for path in ("m1%2f..%2fother", "%6Fther", "m1/../other"):
            answer = await http.post(f"/v2/models/{path}/infer", content=b"{}")
            assert answer.status_code in (400, 403), (path, answer.text)


async def test_lists_name_only_what_the_caller_may_see(server: RunningServer, keys: Keys) -> None:
    key = keys.add("half", "metadata:m*", "stats:other")
    await known(server, key)
    async with httpx.AsyncClient(base_url=server.http, headers=head(key)) as http:
        index = (await http.post("/v2/repository/index")).json()
        assert {row["name"] for row in index} == {"m1"}
        stats = (await http.get("/v2/models/stats")).json()
        assert {row["name"] for row in stats["model_stats"]} == {"other"}
    async with triton_grpc.InferenceServerClient(server.grpc) as client:
        found = await client.get_model_repository_index(headers=head(key), as_json=True)
        assert {row["name"] for row in found["models"]} == {"m1"}


async def known(server: RunningServer, key: str, *, holds: bool = True) -> None:
    """Wait until the server has read the file of keys."""

    async with httpx.AsyncClient(base_url=server.http, headers=head(key)) as http:
        while ((await http.get("/v2/health/live")).status_code == 200) is not holds:
            pass


async def test_J4_a_revoked_key_holds_no_longer(server: RunningServer, keys: Keys) -> None:
    key = keys.add("leaver", "infer")
    await known(server, key)
    keys.revoke("leaver")
    await known(server, key, holds=False)
    async with AsyncClient(server.http, headers=head(key)) as http:
        with pytest.raises(Unauthenticated):
            await http.infer("m1", {"x": ROW})


async def test_J4_a_revoked_key_holds_no_longer_on_a_connection_that_goes_on(
    server: RunningServer, keys: Keys
) -> None:
    """What the gate has said of a head holds for the next that is the same to the byte, until keys change."""
    key = keys.add("stayer", "infer")
    await known(server, key)
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})
    ask = request_bytes("POST", "/v2/models/m1/infer", body.encode(), {"Authorization": f"Bearer {key}"})
    other = ask.replace(b"/v2/models/m1/", b"/v2/models/m9/")
    async with connect(int(server.http.rpartition(":")[2])) as connection:
        statuses = []
        for data in (other, ask, ask, ask):
            await connection.send(data)
            statuses.append((await connection.answer()).status)
        keys.revoke("stayer")
        await known(server, key, holds=False)
        await connection.send(ask)
        statuses.append((await connection.answer()).status)
    assert statuses == [404, 200, 200, 200, 401]


async def test_J4_a_file_that_is_spoilt_leaves_the_keys_as_they_are(
    server: RunningServer, keys: Keys
) -> None:
    kept = keys.path.read_bytes()
    keys.path.write_bytes(b"{")
    later = keys.of["reader"]
    async with httpx.AsyncClient(base_url=server.http, headers=head(later)) as http:
        assert (await http.get("/v2/models/m1")).status_code == 200
    keys.path.write_bytes(kept)


def wrong(key: str) -> dict[str, list[tuple[str, str]]]:
    return {
        "wrong": [("authorization", f"Bearer {key[:-1]}x")],
        "prefix": [("authorization", f"Bearer {key[:20]}")],
        "of another kind": [("authorization", f"Basic {key}")],
        "empty": [("authorization", "")],
        "8 KB": [("x-api-key", key * 100)],
    }


@pytest.mark.parametrize("how", ["wrong", "prefix", "of another kind", "empty", "8 KB"])
async def test_J4_a_wrong_key_is_refused(server: RunningServer, keys: Keys, how: str) -> None:
    sent = wrong(keys.of["root"])[how]
    async with httpx.AsyncClient(base_url=server.http) as http:
        answer = await http.get("/v2", headers=sent)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert keys.of["root"] not in answer.text
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        method: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
        call = method(b"", metadata=tuple(sent))
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("second", ["authorization", "x-api-key"])
async def test_J4_two_credentials_are_a_mistake(server: RunningServer, keys: Keys, second: str) -> None:
    key = keys.of["root"]
    sent = [("authorization", f"Bearer {key}"), (second, f"Bearer {key}")]
    async with httpx.AsyncClient(base_url=server.http) as http:
        assert (await http.get("/v2", headers=sent)).status_code == 400
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        method: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
        call = method(b"", metadata=tuple(sent))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_tritons_clients_send_a_key_as_a_header(server: RunningServer, keys: Keys) -> None:
    sent = head(keys.of["invoker"])
    for module, url in ((triton_http, server.http.removeprefix("http://")), (triton_grpc, server.grpc)):
        client_module: Any = module
        tensor = client_module.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(ROW)
        async with client_module.InferenceServerClient(url) as client:
            answer = await client.infer("m1", [tensor], headers=dict(sent))  # which it changes
            assert answer.as_numpy("y").tolist() == ROW.tolist()


async def test_row_49_a_restricted_api_needs_its_header(tmp_path: Path) -> None:
    publish(tmp_path / "models", "m1", 1, identity(), CONFIG)
    auth = AuthConfig(restricted_api={"model-repository": "admin-key:s3cret"})
    async with running_server(tmp_path / "models", tmp_path / "state", auth=auth) as server:
        await until(lambda: server.server.inference.ready)
        async with triton_http.InferenceServerClient(server.http.removeprefix("http://")) as http:
            with pytest.raises(InferenceServerException, match="restricted, expecting header 'admin-key'"):
                await http.load_model("m1")
            await http.load_model("m1", headers={"admin-key": "s3cret"})
            await http.get_server_metadata()
        async with triton_grpc.InferenceServerClient(server.grpc) as calls:
            with pytest.raises(InferenceServerException, match="'triton-grpc-protocol-admin-key'"):
                await calls.load_model("m1")
            await calls.load_model("m1", headers={"triton-grpc-protocol-admin-key": "s3cret"})
            await calls.get_server_metadata()


def audited(keys: Keys) -> list[dict[str, Any]]:
    """The records so far."""
    lines = (keys.path.parent / "audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


async def test_what_an_admin_does_is_on_record(server: RunningServer, keys: Keys) -> None:
    before = len(audited(keys))
    sent = head(keys.of["root"])
    async with triton_http.InferenceServerClient(server.http.removeprefix("http://")) as http:
        await http.load_model("m1", headers=dict(sent))
    async with triton_grpc.InferenceServerClient(server.grpc) as calls:
        await calls.load_model("m1", headers=dict(sent))
        await calls.update_log_settings({"log_verbose_level": 0}, headers=dict(sent))
        await calls.get_log_settings(headers=dict(sent))
    new = audited(keys)[before:]
    assert [record["operation"] for record in new] == ["load", "load", "log"]
    assert {record["principal"] for record in new} == {"root"}
    assert [record["outcome"] for record in new] == ["answered"] * 3
    assert [record["model"] for record in new] == ["m1", "m1", ""]
    assert {record["peer"] for record in new} == {"127.0.0.1"}


async def test_who_was_refused_is_on_record(server: RunningServer, keys: Keys) -> None:
    before = len(audited(keys))
    async with httpx.AsyncClient(base_url=server.http) as http:
        await http.post("/v2/models/m1/infer")
        await http.post("/v2/models/other/infer", headers=head(keys.of["invoker"]))
        await http.post("/v2/repository/models/m1/load", headers=head(keys.of["invoker"]))
    new = audited(keys)[before:]
    assert [(record["principal"], record["operation"], record["status"]) for record in new] == [
        ("anonymous", "infer", 401),
        ("invoker", "infer", 403),
        ("invoker", "load", 403),
    ]


async def test_J16_no_key_is_in_the_log_the_metrics_or_the_record(
    server: RunningServer, keys: Keys, capfd: pytest.CaptureFixture[str]
) -> None:
    root = head(keys.of["root"])
    async with httpx.AsyncClient(base_url=server.http, headers=root) as http:
        shown = [
            (await http.get(path)).text for path in ("/metrics", "/v2", "/v2/models/m1/config", "/v2/logging")
        ]
    output = capfd.readouterr()
    shown += [output.out, output.err, (keys.path.parent / "audit.jsonl").read_text()]
    for key in keys.of.values():
        assert not any(key in text or secret_of(key) in text for text in shown)


def secret_of(key: str) -> str:
    parts = read_key(key)
    assert parts is not None
    return parts.secret


async def test_J4_over_either_protocol_an_address_that_guesses_is_slowed_down_and_a_good_key_passes(
    tmp_path: Path,
) -> None:
    keys = Keys(tmp_path / "keys.json")
    good = keys.add("root", "admin")
    publish(tmp_path / "models", "m1", 1, identity(), CONFIG)
    auth = AuthConfig(keys_file=keys.path, failures_per_minute=2)
    async with (
        running_server(tmp_path / "models", tmp_path / "state", auth=auth) as server,
        httpx.AsyncClient(base_url=server.http) as http,
    ):
        answers = [await http.get("/v2", headers=head("wrong")) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 30
        ready = "/inference.GRPCInferenceService/ServerReady"
        assert await called(server, ready, "wrong") is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await http.get(server.metrics, headers=head("wrong"))).status_code == 429
        assert (await http.get("/v2", headers=head(good))).status_code == 200
        assert await called(server, ready, good) is grpc.StatusCode.OK


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_credential_that_is_not_text_is_refused(server: RunningServer, header: str) -> None:
    async with httpx.AsyncClient(base_url=server.http) as http:
        answer = await http.get("/v2", headers=[(header.encode(), b"Bearer \xff\xfe")])
        assert answer.status_code == 401
