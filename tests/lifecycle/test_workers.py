"""Several workers are one server: whichever is asked, all have done it, and the answer is about all."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import pytest

from onnxd_protos import grpc_service_pb2 as pb
from tests.support.graphs import add_one, row_constant
from tests.support.grpc_server import infer_request
from tests.support.processes import ended
from tests.support.scraping import Scrape
from tests.support.segments import segment
from tests.support.server import ServerProcess, publish, server_process
from tests.support.traffic import Window, drive
from tests.support.until import until
from tests.support.workers import Connections, connections, nursery_of, open_sockets, workers_of

WORKERS: Final = 2
BODY: Final = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
ROW: Final = np.array([[1, 2, 3, 4]], np.float32)
CONFIG: Final = "max_batch_size: 8\n"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """It does not watch: what happens is what the tests ask for."""
    home = tmp_path_factory.mktemp("workers")
    for name in ("counter", "other"):
        publish(home / "models", name, 1, row_constant(1), CONFIG)
    publish(home / "models", "plus", 1, add_one(), CONFIG)
    arguments = (
        "--workers", str(WORKERS), "--model-control", "explicit", "--load-model", "*",
        "--shared-memory-enabled", "--model-overrides",
    )  # fmt: skip
    with server_process(home / "models", home / "state", *arguments) as started:
        yield started


@pytest.fixture
def repository(server: ServerProcess) -> Path:
    arguments = server.process.args
    assert isinstance(arguments, list)
    return Path(str(arguments[arguments.index("--model-repository") + 1]))


async def ready(server: ServerProcess) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http}/v2/health/ready") as answer:
        return answer.status == 200


async def scrape(server: ServerProcess) -> Scrape:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http}/metrics") as answer:
        return Scrape.of(await answer.text())


def only(answers: list[Any]) -> Any:
    """The answer of all connections, which is one and the same."""
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]


async def infer(clients: Connections, model: str = "plus") -> None:
    """Once on each connection, over both protocols."""
    for status, _ in await clients.post(f"/v2/models/{model}/infer", BODY):
        assert status == 200
    for answer in await clients.ask("ModelInfer", infer_request(model, {"x": ROW})):
        assert answer.model_name == model


async def test_statistics_are_the_sum_whichever_worker_is_asked(server: ServerProcess) -> None:
    async with connections(server) as clients:
        _, before = only(await clients.get("/v2/models/plus/stats"))
        await infer(clients)
        status, after = only(await clients.get("/v2/models/plus/stats"))
        by_grpc = only(await clients.ask("ModelStatistics", pb.ModelStatisticsRequest(name="plus")))
        _, batching = only([(0, each["cuts"]) for _, each in await clients.get("/v2/models/plus/batching")])
    [was], [now] = before["model_stats"], after["model_stats"]
    asked = len(clients.sessions) + len(clients.calls)
    assert status == 200
    assert now["inference_count"] - was["inference_count"] == asked
    assert sum(batch["compute_infer"]["count"] for batch in now["batch_stats"]) == now["execution_count"]
    assert by_grpc.model_stats[0].inference_count == now["inference_count"]
    assert sum(batching.values()) == now["execution_count"]
    found = await scrape(server)
    assert found.value("nv_inference_request_success", model="plus") == now["inference_count"]
    assert found.value("onnxd_workers_alive") == WORKERS


async def test_the_connections_reach_every_worker(server: ServerProcess) -> None:
    """What the other tests of this file rest on."""
    async with connections(server) as clients:
        await infer(clients)
        assert all(open_sockets(pid) > len(clients.sessions) / 4 for pid in workers_of(server).values())


async def test_load_and_unload_have_happened_in_every_worker_when_they_are_answered(
    server: ServerProcess,
) -> None:
    url = "/v2/repository/models/other"
    async with connections(server) as clients:
        for session in clients.sessions[:4]:
            async with session.post(f"{server.http}{url}/unload") as answer:
                assert answer.status == 200
            assert {status for status, _ in await clients.get("/v2/models/other/ready")} == {503}
            readiness = await clients.ask("ModelReady", pb.ModelReadyRequest(name="other"))
            assert not any(each.ready for each in readiness)
            async with session.post(f"{server.http}{url}/load") as answer:
                assert answer.status == 200
            assert {status for status, _ in await clients.get("/v2/models/other/ready")} == {200}
        status, index = only(await clients.post("/v2/repository/index"))
    assert status == 200
    assert {row["name"]: row["state"] for row in index} == dict.fromkeys(
        ("counter", "other", "plus"), "READY"
    )


async def test_a_load_that_fails_is_told_and_changes_no_worker(
    server: ServerProcess, repository: Path
) -> None:
    async with connections(server, count=6) as clients:
        (repository / "broken" / "1").mkdir(parents=True)
        (repository / "broken" / "1" / "model.onnx").write_bytes(b"no graph")
        (status, failure), *_ = await clients.post("/v2/repository/models/broken/load")
        assert status == 400
        assert "broken" in failure["error"]
        (status, unknown), *_ = await clients.post("/v2/repository/models/none/load")
        assert (status, "no such directory" in unknown["error"]) == (400, True) or status == 404
        await infer(clients)


async def test_reloads_under_traffic_fail_nothing_and_no_old_version_answers_after_the_load(
    server: ServerProcess, repository: Path
) -> None:
    loaded, published = 1, 1

    async def reload() -> None:
        nonlocal loaded, published
        async with aiohttp.ClientSession() as session:
            for _ in range(5):
                published += 1
                publish(repository, "counter", 1, row_constant(published), CONFIG)
                async with session.post(f"{server.http}/v2/repository/models/counter/load") as answer:
                    assert answer.status == 200, await answer.text()
                loaded = published

    window = Window(oldest=lambda: loaded, newest=lambda: published)
    async with asyncio.TaskGroup() as tasks:
        reloading = tasks.create_task(reload())
        outcome = await drive(
            server.http, server.grpc, "counter", window, lambda seen: reloading.done() and seen.answered > 100
        )
    assert not outcome.failures
    assert (outcome.mixed, outcome.stale) == (0, 0)
    assert max(outcome.numbers) == published


async def test_settings_and_regions_are_those_of_every_worker(server: ServerProcess) -> None:
    async with connections(server, count=12) as clients:
        session = clients.sessions[0]
        async with session.post(f"{server.http}/v2/logging", json={"log_verbose_level": 1}) as answer:
            assert (await answer.json())["log_verbose_level"] == 1
        assert only(await clients.get("/v2/logging"))[1]["log_verbose_level"] == 1
        only(await clients.ask("LogSettings", pb.LogSettingsRequest()))
        async with session.post(f"{server.http}/v2/logging", json={"log_verbose_level": 0}) as answer:
            assert answer.status == 200
        with segment(64) as shared:
            region = {"key": shared.key, "offset": 0, "byte_size": 64}
            url = f"{server.http}/v2/systemsharedmemory/region/r"
            async with session.post(f"{url}/register", json=region) as answer:
                assert answer.status == 200
            assert len(only(await clients.get("/v2/systemsharedmemory/status"))[1]) == 1
            assert {status for status, _ in await clients.post(
                "/v2/systemsharedmemory/region/r/register", region
            )} == {400}  # fmt: skip
            async with session.post(f"{url}/unregister") as answer:
                assert answer.status == 200
            assert only(await clients.get("/v2/systemsharedmemory/status"))[1] == []


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSEGV], ids=["SIGKILL", "SIGSEGV"])
async def test_a_worker_that_dies_takes_only_its_own_requests_along(
    server: ServerProcess, death: signal.Signals
) -> None:
    """Its connections break; those to the other go on; a new one to either is answered at any time."""
    before = await scrape(server)
    victim = workers_of(server)[1]
    lost, answered = 0, 0

    async def ask(number: int) -> None:
        nonlocal lost, answered
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            broken = 0
            while not over.is_set():
                try:
                    async with session.post(f"{server.http}/v2/models/plus/infer", json=BODY) as answer:
                        assert answer.status == 200, await answer.text()
                        answered += 1
                except aiohttp.ClientError:
                    broken += 1
            lost += broken
            assert broken <= 1, f"connection {number} was refused more than once"

    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(ask(number))
        await until(lambda: answered > 50)
        counts = [(await scrape(server)).value("nv_inference_count", model="plus")]
        os.kill(victim, death)
        ended(victim)
        counts += [(await scrape(server)).value("nv_inference_count", model="plus") for _ in range(5)]
        await until(lambda: workers_of(server).get(1, victim) != victim)
        await until(lambda: ready(server))
        counts.append((await scrape(server)).value("nv_inference_count", model="plus"))
        over.set()
    assert lost <= 8
    assert counts == sorted(counts)
    assert all(later > before.value("nv_inference_count", model="plus") for later in counts)
    after = await scrape(server)
    restarts = [found.value("onnxd_workers_restarted_total", reason=death.name) for found in (before, after)]
    assert restarts[1] == restarts[0] + 1
    async with connections(server) as clients:
        await infer(clients, "counter")
        only(await clients.get("/v2/models/counter/stats"))


async def test_a_worker_that_is_told_to_end_drains_and_its_successor_knows_all_that_clients_have_set(
    server: ServerProcess, repository: Path
) -> None:
    """A model that a call brought, a config that was changed, a model unloaded, the log, a region."""
    publish(repository, "changed", 1, row_constant(3), CONFIG)
    brought = {
        "config": json.dumps({"max_batch_size": 8}),
        "file:1/model.onnx": base64.b64encode(row_constant(42)).decode(),
    }
    before = workers_of(server)
    with segment(64) as shared:
        region = {"key": shared.key, "offset": 0, "byte_size": 64}
        async with connections(server, count=1) as clients:
            for path, document in (
                ("/v2/repository/models/brought/load", {"parameters": brought}),
                ("/v2/repository/models/changed/load", {}),
                ("/v2/repository/models/other/unload", {}),
                ("/v2/logging", {"log_verbose_level": 2}),
                ("/v2/systemsharedmemory/region/kept/register", region),
            ):
                [(status, answer)] = await clients.post(path, document)
                assert status == 200, (path, answer)
            config = repository / "changed" / "config.yaml"
            config.write_text(f"{CONFIG}batching: {{max_queue_size: 7}}\n")
            [(status, answer)] = await clients.post("/v2/repository/models/changed/load")
            assert status == 200, answer
        os.kill(before[0], signal.SIGTERM)
        await until(lambda: workers_of(server).get(0, before[0]) != before[0])
        await until(lambda: ready(server))
        assert workers_of(server)[1] == before[1]
        async with connections(server) as clients:
            for status, answer in await clients.post("/v2/models/brought/infer", BODY):
                assert status == 200
                assert answer["outputs"][0]["data"][0] == 42
            for _, answer in await clients.get("/v2/models/changed/batching"):
                assert answer["policy"]["max_queue_size"] == 7
            assert {status for status, _ in await clients.get("/v2/models/other/ready")} == {503}
            assert only(await clients.get("/v2/logging"))[1]["log_verbose_level"] == 2
            assert [row["name"] for row in only(await clients.get("/v2/systemsharedmemory/status"))[1]] == [
                "kept"
            ]
            for path, document in (
                ("/v2/repository/models/other/load", {}),
                ("/v2/logging", {"log_verbose_level": 0}),
                ("/v2/systemsharedmemory/region/kept/unregister", {}),
            ):
                await clients.post(path, document)


def test_a_port_that_is_taken_is_told_before_any_worker_starts(server: ServerProcess, tmp_path: Path) -> None:
    taken = server.http.rpartition(":")[2]
    other = server_process(tmp_path / "models", tmp_path / "other", "--workers", "2", "--http-port", taken)
    with pytest.raises(AssertionError, match=f"cannot listen for HTTP on 127.0.0.1:{taken}"), other:
        pass


async def test_all_workers_come_back_when_what_they_are_forked_from_has_died(server: ServerProcess) -> None:
    before = workers_of(server)
    os.kill(nursery_of(server), signal.SIGKILL)
    await until(lambda: workers_of(server).keys() == before.keys() and workers_of(server) != before)
    await until(lambda: ready(server))
    assert not set(workers_of(server).values()) & set(before.values())
    async with connections(server, count=6) as clients:
        await infer(clients)
