"""What each endpoint answers when all is well, and when the model is not there."""

import pytest

from onnxd.errors import ControlDisabled, LoadFailed, ModelNotFound, ServerError
from onnxd.repository.catalog import ModelState, VersionState
from tests.support.http_server import INFER, HttpServer
from tests.support.serving import identity_spec, served_version

DURATIONS = {
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
}


async def test_the_server_says_what_it_is(server: HttpServer) -> None:
    document = (await server.get("/v2")).json()
    assert document["name"] == "onnxd"
    assert "binary_tensor_data" in document["extensions"]


async def test_health_has_the_bodies_that_kserve_reads(server: HttpServer) -> None:
    assert (await server.get("/v2/health/live")).json() == {"live": True}
    assert (await server.get("/v2/health/ready")).json() == {"ready": True}
    assert (await server.get("/health")).json() == {"status": "healthy"}


async def test_a_server_that_drains_is_not_ready_but_answers(server: HttpServer) -> None:
    server.stand.inference.begin_drain()
    answer = await server.get("/v2/health/ready")
    assert answer.status == 503
    assert answer.error


async def test_a_query_string_changes_nothing(server: HttpServer) -> None:
    assert (await server.get("/v2/health/live?verbose=1")).status == 200


async def test_metadata_lists_the_ready_versions_and_the_wire_shapes(server: HttpServer) -> None:
    server.stand.serve(served_version(identity_spec()), served_version(identity_spec(version=3)))
    document = (await server.get("/v2/models/identity")).json()
    assert document["versions"] == ["1", "3"]
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert (await server.get("/v2/models/identity/versions/3")).json()["versions"] == ["3"]


async def test_config_is_in_tritons_form(server: HttpServer) -> None:
    for path in ("/v2/models/identity/config", "/v2/models/identity/versions/1/config"):
        document = (await server.get(path)).json()
        assert document["name"] == "identity"
        assert document["max_batch_size"] == 8


async def test_statistics_count_and_have_every_duration(server: HttpServer) -> None:
    await server.post("/v2/models/identity/infer", INFER)
    for path in ("/v2/models/identity/stats", "/v2/models/identity/versions/1/stats"):
        (row,) = (await server.get(path)).json()["model_stats"]
        assert (row["name"], row["version"], row["inference_count"]) == ("identity", "1", 1)
        assert set(row["inference_stats"]) == DURATIONS
    names = [row["name"] for row in (await server.get("/v2/models/stats")).json()["model_stats"]]
    assert names == ["identity", "wide"]


async def test_a_ready_model_says_so(server: HttpServer) -> None:
    for path in ("/v2/models/identity/ready", "/v2/models/identity/versions/1/ready"):
        assert (await server.get(path)).json() == {"name": "identity", "ready": True}


@pytest.mark.parametrize("what", ["", "/ready", "/config", "/stats"])
@pytest.mark.parametrize("model", ["unknown", "identity/versions/9"])
async def test_what_is_not_there_is_not_found(server: HttpServer, model: str, what: str) -> None:
    answer = await server.get(f"/v2/models/{model}{what}")
    assert answer.status == 404
    assert answer.error


async def test_a_model_that_loads_is_unavailable_for_now(server: HttpServer) -> None:
    server.stand.catalog.note("late", {1: VersionState(ModelState.LOADING)})
    for path in ("/v2/models/late/ready", "/v2/models/late", "/v2/models/late/versions/1/ready"):
        answer = await server.get(path)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert "loading" in answer.error.lower()


async def test_the_index_lists_every_version_or_those_that_are_ready(server: HttpServer) -> None:
    server.stand.catalog.note("broken", {1: VersionState(ModelState.UNAVAILABLE, "no such operator")})
    broken = {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "no such operator"}
    ready = [{"name": name, "version": "1", "state": "READY"} for name in ("identity", "wide")]
    for body in (b"", b"{}", b'{"ready":false}'):
        assert (await server.post("/v2/repository/index", body)).json() == [broken, *ready]
    assert (await server.post("/v2/repository/index", b'{"ready":true}')).json() == ready


async def test_the_index_is_the_same_for_any_repository(server: HttpServer) -> None:
    whole = (await server.post("/v2/repository/index")).json()
    assert (await server.post("/v2/repository/disk/index", b'{"ready":true}')).json() == whole


@pytest.mark.parametrize("operation", ["load", "unload"])
async def test_control_in_one_repository_is_not_supported(server: HttpServer, operation: str) -> None:
    answer = await server.post(f"/v2/repository/disk/models/identity/{operation}")
    assert answer.status == 501
    assert "/v2/repository/models/" in answer.error
    assert server.stand.control.loaded == server.stand.control.unloaded == []


@pytest.mark.parametrize("body", [b'{"ready":1}', b'{"ready":null}', b'{"ready":"true"}', b"[]", b"nonsense"])
async def test_an_index_request_of_the_wrong_form_is_refused(server: HttpServer, body: bytes) -> None:
    answer = await server.post("/v2/repository/index", body)
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize("body", [b"", b"{}", b'{"parameters":{}}'])
async def test_a_model_is_loaded(server: HttpServer, body: bytes) -> None:
    assert (await server.post("/v2/repository/models/new/load", body)).status == 200
    assert server.stand.control.loaded == ["new"]


@pytest.mark.parametrize("body", [b"", b'{"parameters":{"unload_dependents":false}}'])
async def test_a_model_is_unloaded(server: HttpServer, body: bytes) -> None:
    assert (await server.post("/v2/repository/models/identity/unload", body)).status == 200
    assert server.stand.control.unloaded == ["identity"]


@pytest.mark.parametrize(
    ("operation", "body", "status"),
    [
        ("load", b'{"parameters":{"config":"{}"}}', 403),
        ("load", b'{"parameters":{"file:1/model.onnx":"AAAA"}}', 403),
        ("load", b'{"parameters":[]}', 400),
        ("load", b"[", 400),
        ("unload", b'{"parameters":{"unload_dependents":1}}', 400),
        ("unload", b'{"parameters":{"force":true}}', 400),
    ],
)
async def test_control_with_what_it_does_not_take_changes_nothing(
    server: HttpServer, operation: str, body: bytes, status: int
) -> None:
    answer = await server.post(f"/v2/repository/models/identity/{operation}", body)
    assert answer.status == status
    assert answer.error
    assert server.stand.control.loaded == server.stand.control.unloaded == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (ControlDisabled("model control is off"), 503),
        (LoadFailed("failed to load 'new': the graph has no outputs"), 400),
        (ModelNotFound("failed to load 'new': no such directory"), 404),
    ],
)
async def test_a_load_that_fails_says_why(server: HttpServer, fault: ServerError, status: int) -> None:
    server.stand.control.fault = fault
    answer = await server.post("/v2/repository/models/new/load")
    assert answer.status == status
    assert answer.error == fault.message


async def test_every_answer_names_the_server_and_not_its_libraries(server: HttpServer) -> None:
    for answer in (await server.get("/v2"), await server.get("/nothing"), await server.send(b"?\r\n\r\n")):
        assert answer.headers["server"] == "onnxd"
