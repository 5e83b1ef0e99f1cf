"""The repository over both protocols: what the index says, and what load and unload do to it."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import pytest_asyncio

from onnxd.errors import LoadFailed
from onnxd.repository.catalog import ModelState
from onnxd.repository.served import Lease
from onnxd_protos import grpc_service_pb2 as pb
from tests.contract.triton_clients import triton_grpc_aio, triton_http_aio
from tests.contract.wire_client import Kind, Refused, Request, WireClient
from tests.support.graphs import row_constant, slow_always
from tests.support.grpc_server import grpc_calls
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BATCHED: Final = "max_batch_size: 8\n"
STEPS: Final = 50_000
"""Enough to be seen while it runs."""
ROW: Final = np.zeros((1, 4), np.float32)
READY: Final = {"state": "READY"}
UNLOADED: Final = {"state": "UNAVAILABLE", "reason": "unloaded"}

Connect = Callable[[RunningServer], AbstractAsyncContextManager[WireClient]]
CLIENTS: Final[dict[str, Connect]] = {
    "HTTP": lambda server: triton_http_aio(server.http.removeprefix("http://")),
    "gRPC": lambda server: triton_grpc_aio(server.grpc),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """`one` and `slow` serve; `broken` does not load."""
    root = tmp_path_factory.mktemp("control")
    publish(root / "models", "one", 1, row_constant(1), BATCHED)
    publish(root / "models", "slow", 1, slow_always(STEPS))
    publish(root / "models", "broken", 1, b"this is no graph")
    async with running_server(root / "models", root / "state") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(CLIENTS.values()), ids=list(CLIENTS))
async def client(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[WireClient]:
    connect: Connect = request.param
    async with connect(server) as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def well(server: RunningServer) -> AsyncIterator[None]:
    """Before each test everything serves that can; after it the server is alive, with nothing in it."""
    for model in ("one", "slow"):
        await server.server.lifecycle.load(model)
    yield
    async with CLIENTS["HTTP"](server) as client:
        assert await client.live()
        assert await client.ready()
    assert server.server.inference.in_flight == 0


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """For servers of their own: `one` serves, `broken` does not load."""
    publish(tmp_path / "models", "one", 1, row_constant(1), BATCHED)
    publish(tmp_path / "models", "broken", 1, b"this is no graph")
    return tmp_path / "models"


async def send(server: RunningServer, path: str, body: bytes = b"") -> Answer:
    async with connect(server.server.http.port) as connection:
        await connection.send(request_bytes("POST", path, body))
        return await connection.answer()


async def index(server: RunningServer, *, ready: bool = False) -> list[dict[str, str]]:
    """As HTTP gives it; gRPC says the same, with empty texts for what HTTP leaves out."""
    answer = await send(server, "/v2/repository/index", b'{"ready":true}' if ready else b"")
    assert answer.status == 200
    over_http: list[dict[str, str]] = answer.json()
    for entry in over_http:
        entry.pop("memory", None)  # an extension of ours, for which the message has no place
    async with grpc_calls(server.grpc) as calls:
        message = await calls.ask("RepositoryIndex", pb.RepositoryIndexRequest(ready=ready))
    over_grpc = [{field.name: value for field, value in entry.ListFields()} for entry in message.models]
    assert over_grpc == over_http
    return over_http


async def entries(server: RunningServer, model: str) -> list[dict[str, str]]:
    """The index's lines about one model, without its name."""
    lines = [dict(entry) for entry in await index(server) if entry["name"] == model]
    for line in lines:
        del line["name"]
    return lines


async def until_state(server: RunningServer, model: str, state: ModelState) -> None:
    async def is_so() -> bool:
        return state in {
            entry.state for entry in await server.server.lifecycle.index() if entry.name == model
        }

    await until(is_so)


async def number(client: WireClient, model: str = "one") -> int:
    """Which of the graphs answers. Raises Refused."""
    return int((await client.infer(model, Request({"x": ROW}))).outputs["y"].flat[0])


async def refusal(asked: Any) -> Kind:
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value.kind


# The index.


async def test_the_index_is_sorted_by_name_and_then_by_version_as_a_number(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for version in (10, 9, 2):
        publish(models, "many", version, row_constant(version), BATCHED + "versions: all\n")
    publish(models, "Zebra", 1, row_constant(1))
    publish(models, "ant", 1, row_constant(1))
    async with running_server(models, tmp_path / "state") as server:
        listed = [(entry["name"], entry["version"], entry["state"]) for entry in await index(server)]
        assert listed == [
            ("Zebra", "1", "READY"),
            ("ant", "1", "READY"),
            ("many", "2", "READY"),
            ("many", "9", "READY"),
            ("many", "10", "READY"),
        ]
        assert await index(server) == await index(server, ready=True)


async def test_the_index_says_why_a_version_does_not_serve(server: RunningServer) -> None:
    for version in (1, 2):
        publish(server.repository, "two", version, row_constant(version))
        await server.ready("two", version)
    old, new = await entries(server, "two")
    assert new == {"version": "2", **READY}
    assert (old["version"], old["state"]) == ("1", "UNAVAILABLE")
    assert "versions" in old["reason"]
    ready = {(entry["name"], entry["version"]) for entry in await index(server, ready=True)}
    assert ready == {("one", "1"), ("slow", "1"), ("two", "2")}


async def test_the_index_says_why_a_model_did_not_load(server: RunningServer) -> None:
    with pytest.raises(LoadFailed):
        await server.server.lifecycle.load("broken")
    [broken] = await entries(server, "broken")
    assert (broken["version"], broken["state"]) == ("1", "UNAVAILABLE")
    assert "not an ONNX model" in broken["reason"]


async def test_a_model_that_was_never_loaded_is_a_name_alone(repository: Path, tmp_path: Path) -> None:
    (repository / "empty").mkdir()
    async with running_server(repository, tmp_path / "state", model_control="explicit") as server:
        broken, empty, one = await index(server)
        assert (broken, one) == ({"name": "broken"}, {"name": "one"})
        assert (empty["name"], empty["state"], "version" in empty) == ("empty", "UNAVAILABLE", False)
        assert "it has no version" in empty["reason"]
        assert await index(server, ready=True) == []
        await server.server.lifecycle.load("one")
        assert await entries(server, "one") == [{"version": "1", **READY}]


@pytest.mark.parametrize("control", ["watch", "explicit", "none"])
async def test_a_model_in_two_repositories_is_neithers(tmp_path: Path, control: str) -> None:
    roots = (tmp_path / "a", tmp_path / "b")
    for root in roots:
        publish(root, "twin", 1, row_constant(1))
    publish(roots[0], "single", 1, row_constant(1))
    changes = {"model_repository": roots, "model_control": control}
    async with running_server(roots[0], tmp_path / "state", **changes) as server:
        reason = "model appears in two or more repositories"
        assert await entries(server, "twin") == [{"state": "UNAVAILABLE", "reason": reason}]
        if control != "none":
            for connect_to in CLIENTS.values():
                async with connect_to(server) as client:
                    assert await refusal(client.load("twin")) is Kind.INVALID
        assert await entries(server, "twin") == [{"state": "UNAVAILABLE", "reason": reason}]


async def test_a_model_that_gets_a_twin_keeps_serving_and_follows_its_files_when_the_twin_is_gone(
    tmp_path: Path,
) -> None:
    roots = (tmp_path / "a", tmp_path / "b")
    roots[1].mkdir()
    publish(roots[0], "one", 1, row_constant(1), BATCHED)
    async with (
        running_server(roots[0], tmp_path / "state", model_repository=roots) as server,
        CLIENTS["gRPC"](server) as client,
    ):
        publish(roots[1], "one", 1, row_constant(2), BATCHED)
        assert "two or more repositories" in await server.reason("one", 1)
        assert await number(client) == 1
        [entry] = await entries(server, "one")
        assert (entry["version"], entry["state"]) == ("1", "READY")
        shutil.rmtree(roots[0] / "one")

        async def is_the_other() -> bool:
            return await number(client) == 2

        await until(is_the_other)
        assert await entries(server, "one") == [{"version": "1", **READY}]


@pytest.mark.parametrize(
    "body",
    [b'{"ready":1}', b'{"ready":"true"}', b'{"ready":null}', b'{"ready":[true]}', b"[true]", b'{"ready"'],
    ids="H5-{!r}".format,
)
async def test_an_index_of_the_wrong_form_is_refused(server: RunningServer, body: bytes) -> None:
    answer = await send(server, "/v2/repository/index", body)
    assert answer.status == 400
    assert answer.error
    assert await entries(server, "one") == [{"version": "1", **READY}]


async def test_H5_bytes_that_are_no_index_request_are_refused(server: RunningServer) -> None:
    async with grpc_calls(server.grpc) as calls:
        # Field 2, `ready`, as a text instead of a number, and cut short.
        assert (await calls.refusal("RepositoryIndex", b"\x12\x09true")).code.name == "INVALID_ARGUMENT"
        named = pb.RepositoryIndexRequest(repository_name="a")
        assert (await calls.refusal("RepositoryIndex", named)).code.name == "UNIMPLEMENTED"


# Load and unload.


@pytest.mark.parametrize("call", ["load", "unload"])
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({"model_control": "none"}, Kind.UNAVAILABLE, id="H1-control-none"),
        pytest.param({"model_control": "none"}, Kind.UNAVAILABLE, id="row-46-the-wrong-mode"),
        pytest.param({"model_control_api": False}, Kind.FORBIDDEN, id="H1-not-by-clients"),
    ],
)
async def test_control_that_is_switched_off_has_no_effect(
    repository: Path, tmp_path: Path, changes: dict[str, Any], kind: Kind, call: str
) -> None:
    async with running_server(repository, tmp_path / "state", **changes) as server:
        before = await index(server)
        publish(repository, "one", 2, row_constant(2))
        for connect_to in CLIENTS.values():
            async with connect_to(server) as client:
                for model in ("one", "broken", "nothing"):
                    assert await refusal(getattr(client, call)(model)) is kind
                if changes.get("model_control") == "none":
                    assert await number(client) == 1
        if changes.get("model_control") == "none":
            assert await index(server) == before


@pytest.mark.parametrize("row", ["H2-unknown", "row-47-unknown"])
async def test_loading_what_is_not_there_is_not_found(client: WireClient, row: str) -> None:
    assert await refusal(client.load("nothing")) is Kind.NOT_FOUND
    assert await number(client) == 1


async def test_H2_unloading_what_is_not_there_is_no_error(client: WireClient) -> None:
    await client.unload("nothing")
    assert await number(client) == 1


async def test_H2_a_load_that_fails_says_why_and_the_old_version_keeps_serving(
    server: RunningServer, client: WireClient
) -> None:
    publish(server.repository, "fragile", 1, row_constant(4), BATCHED)
    await client.load("fragile")
    publish(server.repository, "fragile", 1, b"broken")
    with pytest.raises(Refused, match="not an ONNX model") as refused:
        await client.load("fragile")
    assert refused.value.kind is Kind.INVALID
    assert str(server.repository) not in refused.value.message
    assert await number(client, "fragile") == 4
    [entry] = await entries(server, "fragile")
    assert (entry["state"], "not an ONNX model" in entry["reason"]) == ("READY", True)


async def test_loading_again_what_has_not_changed_leaves_it_alone(
    server: RunningServer, client: WireClient
) -> None:
    before = server.server.inference.served("one", 1)
    await client.load("one")
    assert server.server.inference.served("one", 1) is before


async def test_an_unloaded_model_is_known_and_unavailable(server: RunningServer, client: WireClient) -> None:
    for _ in range(2):
        await client.unload("one")
        assert await refusal(number(client)) is Kind.UNAVAILABLE
        assert await refusal(client.statistics("one")) is Kind.UNAVAILABLE
        assert await entries(server, "one") == [{"version": "1", **UNLOADED}]
    assert "one" not in {entry.name for entry in await client.statistics()}
    await client.load("one")
    assert await number(client) == 1


async def test_a_model_that_did_not_load_can_be_unloaded(server: RunningServer, client: WireClient) -> None:
    await client.unload("broken")
    assert await entries(server, "broken") == [{"version": "1", **UNLOADED}]


async def test_H3_two_loads_at_once_both_succeed(server: RunningServer, client: WireClient) -> None:
    await client.unload("one")
    await asyncio.gather(*(client.load("one") for _ in range(8)))
    assert await number(client) == 1
    assert await entries(server, "one") == [{"version": "1", **READY}]


async def test_H3_an_unload_while_it_loads_comes_after_the_load(
    server: RunningServer, client: WireClient
) -> None:
    await client.unload("slow")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.load("slow"))
        await until_state(server, "slow", ModelState.LOADING)
        assert not await client.model_ready("slow")
        await client.unload("slow")
    assert await entries(server, "slow") == [{"version": "1", **UNLOADED}]
    assert not await client.model_ready("slow")


async def test_H3_a_load_while_it_unloads_serves_beside_what_is_leaving(
    server: RunningServer, client: WireClient
) -> None:
    with Lease(server.server.inference.served("one", 1)) as leaving:
        await client.unload("one")
        assert await entries(server, "one") == [{"version": "1", "state": "UNLOADING"}]
        await client.load("one")
        assert server.server.inference.served("one", 1) is not leaving
        assert await number(client) == 1
    assert await entries(server, "one") == [{"version": "1", **READY}]


async def test_a_version_is_unloading_until_its_last_request_has_ended(
    server: RunningServer, client: WireClient
) -> None:
    with Lease(server.server.inference.served("one", 1)):
        await client.unload("one")
        assert await entries(server, "one") == [{"version": "1", "state": "UNLOADING"}]
        assert await refusal(number(client)) is Kind.UNAVAILABLE
        assert not await client.model_ready("one")
    await until_state(server, "one", ModelState.UNAVAILABLE)
    assert await entries(server, "one") == [{"version": "1", **UNLOADED}]


async def test_H6_an_unload_lets_requests_in_flight_finish_and_takes_no_new_ones(
    server: RunningServer, client: WireClient
) -> None:
    held = server.server.inference.served("slow", 1)
    request = Request({"x": np.full((1, 64), 7, np.float32)})
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.infer("slow", request))
        await until(lambda: held.leases == 1)
        await client.unload("slow")
        assert await refusal(client.infer("slow", request)) is Kind.UNAVAILABLE
    np.testing.assert_array_equal(running.result().outputs["y"], request.inputs["x"])


@pytest.mark.slow
@pytest.mark.parametrize("last", ["load", "unload"])
async def test_S3_many_loads_and_unloads_at_once_end_as_the_last_one_says(
    server: RunningServer, last: str
) -> None:
    """The short form: 32 callers over both protocols, with the repository watched meanwhile."""
    seen: Counter[str] = Counter()
    choose = random.Random(5)

    async def call(client: WireClient, name: str) -> None:
        try:
            await (number(client) if name == "infer" else getattr(client, name)("one"))
        except Refused as refused:
            seen[f"{name} {refused.kind.name}"] += 1
        else:
            seen[f"{name} OK"] += 1

    async def repeat(client: WireClient) -> None:
        for _ in range(8):
            await call(client, choose.choice(("load", "unload", "infer")))

    async with CLIENTS["HTTP"](server) as http, CLIENTS["gRPC"](server) as grpc:
        async with asyncio.TaskGroup() as tasks:
            for caller in range(32):
                tasks.create_task(repeat(http if caller % 2 else grpc))
        await call(http, "unload")
        await call(grpc, "infer")
        await call(grpc, "load")
        await call(http, "infer")
        await call(http, last)
        assert set(seen) == {"load OK", "unload OK", "infer OK", "infer UNAVAILABLE"}
        assert await http.live()
        assert await grpc.ready()
        assert await grpc.model_ready("one") is (last == "load")
    assert await entries(server, "one") == [{"version": "1", **(READY if last == "load" else UNLOADED)}]
