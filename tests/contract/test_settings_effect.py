"""What changed settings do, and who may change them: real front ends over models in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from onnxd.telemetry.trace_settings import TraceSettings
from onnxd.telemetry.tracing import Tracing
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcServer, grpc_calls, grpc_server, infer_request
from tests.support.http_server import INFER, HttpServer, http_server
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.server import running_server, server_process
from tests.support.serving import identity_spec, served_version, serving
from tests.support.spans import sending_to

TRACED: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_TRACED: Final = TRACED[:-2] + "00"
FLIPS: Final = 1000


@dataclass(frozen=True, slots=True)
class Stand:
    """Both front ends over the models `identity` and `other`, and the traces of their requests."""

    http: HttpServer
    grpc: GrpcServer
    settings: TraceSettings
    exporter: InMemorySpanExporter

    async def ask(self, wire: str, requests: int, model: str = "identity", caller: str = "") -> int:
        """How many of so many requests are traced."""
        self.exporter.clear()
        for _ in range(requests):
            if wire == "http":
                headers = {"traceparent": caller} if caller else {}
                answer = await self.http.post(f"/v2/models/{model}/infer", INFER, headers)
                assert answer.status == 200
            else:
                metadata = (("traceparent", caller),) if caller else ()
                await self.grpc.calls.infer(model, {"x": ONES}, metadata=metadata)
        return self.traces()

    def traces(self) -> int:
        return sum(span.name == "onnxd.infer" for span in self.exporter.get_finished_spans())


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    models = serving(served_version(identity_spec()), served_version(identity_spec("other")))
    exporter = InMemorySpanExporter()
    settings = TraceSettings(collector={})
    tracing = Tracing(sending_to(exporter), settings)
    async with http_server(models, tracing=tracing) as http, grpc_server(models, tracing=tracing) as calls:
        yield Stand(http, calls, settings, exporter)


wires = pytest.mark.parametrize("wire", ["http", "grpc"])


@wires
async def test_one_request_in_so_many_is_traced(stand: Stand, wire: str) -> None:
    assert await stand.ask(wire, 4) == 4
    stand.settings.update({"rate": 3})
    assert await stand.ask(wire, 9) == 3


@wires
async def test_after_so_many_traces_there_are_no_more(stand: Stand, wire: str) -> None:
    stand.settings.update({"count": 2})
    assert await stand.ask(wire, 5) == 2
    assert await stand.ask(wire, 5) == 0


@wires
async def test_a_model_has_its_own_settings(stand: Stand, wire: str) -> None:
    stand.settings.update({"on": False}, "other")
    assert await stand.ask(wire, 3, "other") == 0
    assert await stand.ask(wire, 3, "identity") == 3
    stand.settings.update({"on": False})
    stand.settings.update({"on": True}, "other")
    assert await stand.ask(wire, 3, "other") == 3
    assert await stand.ask(wire, 3, "identity") == 0


@wires
async def test_a_callers_trace_goes_on_whatever_the_rate_unless_tracing_is_off(
    stand: Stand, wire: str
) -> None:
    stand.settings.update({"rate": 0, "count": 0})
    assert await stand.ask(wire, 3) == 0
    assert await stand.ask(wire, 3, caller=TRACED) == 3
    stand.settings.update({"rate": 1, "count": -1})
    assert await stand.ask(wire, 3, caller=NOT_TRACED) == 0
    stand.settings.update({"on": False})
    assert await stand.ask(wire, 3, caller=TRACED) == 0


async def test_a_message_that_cannot_be_read_is_traced_by_the_settings_of_all(stand: Stand) -> None:
    stand.settings.update({"on": False}, "identity")
    refused = await stand.grpc.calls.refusal("ModelInfer", b"\xff")
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert stand.traces() == 1


@pytest.mark.slow
async def test_K4_settings_that_change_under_load_fail_no_request(stand: Stand) -> None:
    """Over both protocols, all models and one; every request is answered, and some of them are traced."""
    changing = True
    answered = 0

    async def ask_http() -> None:
        nonlocal answered
        async with connect(stand.http.port) as connection:
            while changing:
                await connection.send(request_bytes("POST", "/v2/models/identity/infer", INFER))
                assert (await connection.answer()).status == 200
                answered += 1

    async def ask_grpc() -> None:
        nonlocal answered
        request = infer_request("identity", {"x": ONES})
        while changing:
            await stand.grpc.calls.ask("ModelInfer", request)
            answered += 1

    async def change() -> None:
        nonlocal changing
        levels, rates, counts = ("OFF", "TIMESTAMPS"), ("1", "3", None), ("-1", "5", "0", None)
        async with connect(stand.http.port) as connection:
            for flip in range(FLIPS):
                change = {
                    "trace_level": levels[flip % 2],
                    "trace_rate": rates[flip % 3],
                    "trace_count": counts[flip % 4],
                }
                model = ("", "identity")[flip // 2 % 2]
                if flip % 5:
                    path = f"/v2/models/{model}/trace/setting" if model else "/v2/trace/setting"
                    await connection.send(request_bytes("POST", path, json.dumps(change).encode()))
                    assert (await connection.answer()).status == 200
                else:
                    message = pb.TraceSettingRequest(model_name=model)
                    for key, value in change.items():
                        message.settings[key].value.extend([value] if value else [])
                    await stand.grpc.calls.ask("TraceSetting", message)
        changing = False

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(ask_http())
            tasks.create_task(ask_grpc())
        tasks.create_task(change())
    assert answered > FLIPS / 10
    assert stand.traces() > 0
    await stand.http.assert_well()


async def test_the_server_says_that_it_has_these_settings(stand: Stand) -> None:
    over_http = (await stand.http.get("/v2")).json()["extensions"]
    over_grpc = (await stand.grpc.calls.ask("ServerMetadata", pb.ServerMetadataRequest())).extensions
    assert over_http[-2:] == list(over_grpc)[-2:] == ["trace", "logging"]


# What the wires themselves can get wrong.


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(path, body, id=f"K2-{path.rpartition('/')[2]}-{body.decode()}")
        for path, bodies in {
            "/v2/trace/setting": (
                b'{"trace_rate":1}', b'{"trace_level":[1]}', b'{"trace_level":[["OFF"]]}',
                b'{"trace_count":{}}', b'{"trace_level":true}', b'{"trace_file":7}', b"[]", b"{",
                b'{"trace_rate":"1","trace_rate":"2"}', b'{"log_frequency":0}',
            ),
            "/v2/models/identity/trace/setting": (b'{"trace_rate":1}', b"nonsense"),
            "/v2/logging": (
                b'{"log_info":1}', b'{"log_error":"true"}', b'{"log_verbose_level":-1}',
                b'{"log_verbose_level":1.0}', b'{"log_verbose_level":4294967296}',
                b'{"log_verbose_level":99999999999999999999999}', b'{"log_verbose_level":true}',
                b'{"log_verbose_level":"1"}', b'{"log_format":1}', b'{"log_format":["default"]}', b"[]",
                b'{"log_info":true,"log_info":false}',
            ),
        }.items()
        for body in bodies
    ],
)  # fmt: skip
async def test_a_body_of_the_wrong_form_changes_nothing(stand: Stand, path: str, body: bytes) -> None:
    before = (await stand.http.get(path)).json()
    answer = await stand.http.post(path, body)
    assert answer.status == 400
    assert answer.error
    assert (await stand.http.get(path)).json() == before


@pytest.mark.parametrize(
    ("setting", "kind", "value"),
    [
        ("log_info", "uint32_param", 1),
        ("log_warning", "string_param", "true"),
        ("log_error", "uint32_param", 0),
        ("log_verbose_level", "bool_param", True),
        ("log_verbose_level", "string_param", "1"),
        ("log_format", "uint32_param", 1),
    ],
    ids=lambda value: f"K2-{value}" if value in ("log_info", "log_warning") else str(value),
)
async def test_a_log_setting_in_the_wrong_field_is_refused(
    stand: Stand, setting: str, kind: str, value: object
) -> None:
    message = pb.LogSettingsRequest()
    setattr(message.settings[setting], kind, value)
    refused = await stand.grpc.calls.refusal("LogSettings", message)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert setting in refused.details


@pytest.mark.parametrize("path", ["/v2/trace/setting", "/v2/models/identity/trace/setting", "/v2/logging"])
@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_an_empty_change_is_a_question(stand: Stand, path: str, body: bytes) -> None:
    answer = await stand.http.post(path, body)
    assert (answer.status, answer.json()) == (200, (await stand.http.get(path)).json())


async def test_settings_have_no_version_and_no_other_method(stand: Stand) -> None:
    assert (await stand.http.get("/v2/models/identity/versions/1/trace/setting")).status == 404
    for path in ("/v2/trace/setting", "/v2/logging"):
        answer = await stand.http.send(request_bytes("PUT", path))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


# Who may.


@pytest.mark.parametrize("path", ["/v2/trace/setting", "/v2/models/identity/trace/setting", "/v2/logging"])
async def test_a_web_page_of_another_origin_changes_nothing(stand: Stand, path: str) -> None:
    change = b'{"trace_rate":"9","log_info":false}'
    answer = await stand.http.post(path, change, {"Origin": "http://evil"})
    assert answer.status == 403
    assert answer.error
    assert (await stand.http.send(request_bytes("POST", path, change, host="evil"))).status == 403
    assert stand.settings.view().rate == 1


async def test_where_changes_are_switched_off_settings_are_only_read(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    async with (
        running_server(tmp_path / "models", tmp_path / "state", settings_api=False) as server,
        grpc_calls(server.grpc) as calls,
    ):
        for path, change in (
            ("/v2/trace/setting", b'{"trace_level":["OFF"]}'),
            ("/v2/logging", b'{"log_info":true}'),
        ):
            assert (await send(server.server.http.port, "GET", path)).status == 200
            assert (await send(server.server.http.port, "POST", path)).status == 200
            answer = await send(server.server.http.port, "POST", path, change)
            assert (answer.status, "settings_api" in answer.error) == (403, True)
        messages: dict[str, Any] = {
            "TraceSetting": pb.TraceSettingRequest(),
            "LogSettings": pb.LogSettingsRequest(),
        }
        for name, message in messages.items():
            assert (await calls.ask(name, message)).settings
            message.settings["trace_rate" if name == "TraceSetting" else "log_info"].SetInParent()
        messages["LogSettings"].settings["log_info"].bool_param = True
        for name, message in messages.items():
            assert (await calls.refusal(name, message)).code is grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_collector_tracing_is_off_and_cannot_be_switched_on(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    async with running_server(tmp_path / "models", tmp_path / "state") as server:
        off = (await send(server.server.http.port, "GET", "/v2/trace/setting")).json()
        assert off == {
            "trace_level": ["OFF"], "trace_rate": "1", "trace_count": "-1", "trace_mode": "opentelemetry",
        }  # fmt: skip
        same = await send(server.server.http.port, "POST", "/v2/trace/setting", json.dumps(off).encode())
        assert (same.status, same.json()) == (200, off)
        for change in (b'{"trace_level":["TIMESTAMPS"]}', b'{"trace_rate":"10"}', b'{"trace_count":"10"}'):
            answer = await send(server.server.http.port, "POST", "/v2/trace/setting", change)
            assert (answer.status, "tracing.endpoint" in answer.error) == (400, True)


async def send(port: int, method: str, path: str, body: bytes = b"") -> Answer:
    async with connect(port) as connection:
        await connection.send(request_bytes(method, path, body))
        return await connection.answer()


# The log of a real process.


async def test_the_log_follows_what_clients_set(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with server_process(tmp_path / "models", tmp_path / "state") as server:
        port = int(server.http.rpartition(":")[2])
        log = server.process.stderr
        assert log is not None

        async def change(**settings: object) -> None:
            answer = await send(port, "POST", "/v2/logging", json.dumps(settings).encode())
            assert answer.status == 200

        async def line_with(text: str) -> str:
            while text not in (line := await asyncio.to_thread(log.readline)):
                assert line, f"the log ended before {text!r}"
            return line

        await send(port, "GET", "/v2")
        await change(log_verbose_level=1, log_format="default")
        assert "GET /v2 " not in await line_with("log settings changed")
        await send(port, "GET", "/v2/health/live")
        line = await line_with("GET /v2/health/live")
        assert line[4] == " "  # month and day, and then the time of day
        await change(log_verbose_level=0, log_info=False, log_format="ISO8601")
        await send(port, "GET", "/nothing")
        await change(log_info=True)
        server.process.terminate()
        rest = await asyncio.to_thread(log.read)
    assert "404" not in rest
    changes = [line for line in rest.splitlines() if "log settings changed" in line]
    assert ["info=True" in line for line in changes] == [False, True]


async def test_W12_nothing_that_a_client_sets_forges_a_line_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    forged = "x\r\nforged \x1b[31m\u2028forged"
    with server_process(tmp_path / "models", tmp_path / "state") as server:
        port = int(server.http.rpartition(":")[2])
        for path, change in (
            ("/v2/trace/setting", {"trace_level": [forged]}),
            ("/v2/trace/setting", {"trace_rate": forged}),
            ("/v2/trace/setting", {"trace_file": forged}),
            ("/v2/logging", {"log_format": forged}),
            ("/v2/logging", {"log_file": forged}),
        ):
            answer = await send(port, "POST", path, json.dumps(change).encode())
            assert answer.status in (400, 501)
            assert answer.error.isprintable()
        server.process.terminate()
        assert server.process.stderr is not None
        log = await asyncio.to_thread(server.process.stderr.read)
    assert log.count("/v2/trace/setting") == 6  # of requests and of what admins did
    assert not [line for line in log.splitlines() if line.startswith("forged")]
    assert "\x1b" not in log
