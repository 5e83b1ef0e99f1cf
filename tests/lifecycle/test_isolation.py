"""Models in processes of their own: from their load to their end, with everything around them real."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from onnxd.errors import ModelProcessDied, ModelUnavailable
from onnxd.messages import InferRequest
from onnxd.repository.catalog import ModelState
from onnxd.scheduler.batch import Rows
from onnxd.tensors import Array
from tests.support.children import children, has_ended, open_files, workers
from tests.support.graphs import add_one, int_div, row_constant, slow_always
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server, server_process
from tests.support.until import until

MIB = 2**20
APART = "isolation: process\nmax_batch_size: 8\n"
SEVEN: Mapping[str, Array] = {"a": np.array([7], np.int32), "b": np.array([2], np.int32)}
DEADLY: Mapping[str, Array] = {"a": np.array([-(2**31)], np.int32), "b": np.array([-1], np.int32)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    publish(directory, "apart", 1, row_constant(1), APART)
    publish(directory, "plain", 1, row_constant(1), "max_batch_size: 8\n")
    publish(directory, "risky", 1, int_div())
    return directory


@pytest.fixture
async def server(repository: Path, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(repository, tmp_path / "state") as running:
        yield running


async def ask(server: RunningServer, model: str, inputs: Mapping[str, Array] | None = None) -> int:
    given = dict(inputs or {"x": np.zeros((1, 4), np.float32)})
    response = await server.server.inference.infer(InferRequest(model, given))
    return int(response.outputs["y"].flat[0])


async def entry_of(server: RunningServer, model: str) -> tuple[ModelState | None, str]:
    [entry] = [entry for entry in await server.server.lifecycle.index() if entry.name == model]
    return entry.state, entry.reason


def placements(server: RunningServer, model: str) -> dict[str, int]:
    served = server.server.inference.served(model, None)
    return {where: count for where, count in served.observe().placements.items() if count}


async def told_as_returned(server: RunningServer, model: str) -> int:
    """What the index says came back at its unload."""
    [entry] = [entry for entry in await server.server.lifecycle.index() if entry.name == model]
    return entry.memory.returned_bytes or 0


def own_workers() -> frozenset[int]:
    return workers(os.getpid())


async def break_down(server: RunningServer) -> None:
    """Kill the processes of the risky model until none is started any more."""
    for _ in range(5):
        with pytest.raises(ModelProcessDied):
            await ask(server, "risky", DEADLY)


async def test_each_model_runs_where_its_config_and_its_graph_say(server: RunningServer) -> None:
    assert placements(server, "apart") == {"process": 1}
    assert placements(server, "risky") == {"process": 1}
    assert "process" not in placements(server, "plain")
    assert await ask(server, "apart") == 1
    assert await ask(server, "risky", SEVEN) == 3
    assert len(own_workers()) == 2


async def test_a_config_may_keep_a_risky_model_in_the_server_and_the_report_warns(
    server: RunningServer,
) -> None:
    publish(server.repository, "bold", 1, int_div(), "isolation: thread\n")
    await server.ready("bold")
    assert "process" not in placements(server, "bold")
    assert await ask(server, "bold", SEVEN) == 3
    [warning] = server.server.inference.served("bold", None).report.warnings
    assert "requests may harm: Div 'y' divides INT32" in warning


async def test_every_instance_has_a_process_and_they_share_the_work(server: RunningServer) -> None:
    publish(server.repository, "two", 1, row_constant(2), APART + "instances: 2\n")
    await server.ready("two")
    assert placements(server, "two") == {"process": 2}
    assert len(own_workers()) == 4
    assert await asyncio.gather(*(ask(server, "two") for _ in range(20))) == [2] * 20


async def test_a_reload_brings_a_new_process_and_ends_the_old_one(server: RunningServer) -> None:
    before = own_workers()
    publish(server.repository, "apart", 2, row_constant(2), APART)
    await server.ready("apart", 2)
    assert await ask(server, "apart") == 2
    await until(lambda: len(own_workers()) == 2)
    assert len(before - own_workers()) == 1


async def test_an_unload_takes_the_process_and_all_its_memory_with_it(server: RunningServer) -> None:
    before = own_workers()
    await server.server.lifecycle.unload("apart")
    await until(lambda: len(own_workers()) == 1)
    [gone] = before - own_workers()
    await until(lambda: has_ended(gone))

    async def is_told() -> bool:
        return await told_as_returned(server, "apart") > 20 * MIB

    await until(is_told)


async def test_requests_that_wait_are_answered_by_the_next_process(server: RunningServer) -> None:
    fatal = asyncio.ensure_future(ask(server, "risky", DEADLY))
    others = [asyncio.ensure_future(ask(server, "risky", SEVEN)) for _ in range(10)]
    with pytest.raises(ModelProcessDied):
        await fatal
    assert await asyncio.gather(*others) == [3] * 10


async def test_a_death_is_counted_and_is_a_failure_of_the_backend(server: RunningServer) -> None:
    with pytest.raises(ModelProcessDied):
        await ask(server, "risky", DEADLY)
    assert await ask(server, "risky", SEVEN) == 3
    async with aiohttp.ClientSession() as session, session.get(server.metrics) as answer:
        scrape = Scrape.of(await answer.text())
    assert scrape.counts("onnxd_worker_restarts_total", "reason", model="risky") == {"SIGFPE": 1}
    assert scrape.counts("onnxd_worker_restarts_total", "reason", model="apart") == {}
    assert scrape.counts("nv_inference_request_failure", "reason", model="risky") == {"BACKEND": 1}
    assert scrape.series(model="plain") & {("onnxd_worker_restarts_total", frozenset())} == set()


async def test_a_model_that_keeps_dying_is_unavailable_and_says_why(server: RunningServer) -> None:
    await break_down(server)
    with pytest.raises(ModelUnavailable, match="died 5 times within 60 s"):
        await ask(server, "risky", SEVEN)
    state, reason = await entry_of(server, "risky")
    assert state is ModelState.UNAVAILABLE
    assert "SIGFPE" in reason
    assert not server.server.inference.model_ready("risky", None)
    assert not server.server.inference.model_ready("risky", 1)
    with pytest.raises(ModelUnavailable):
        server.server.inference.versions("risky")
    assert await ask(server, "plain") == 1


async def test_a_load_brings_a_broken_model_back_though_its_files_are_the_same(
    server: RunningServer,
) -> None:
    await break_down(server)
    await server.server.lifecycle.load("risky")
    assert await ask(server, "risky", SEVEN) == 3
    assert (await entry_of(server, "risky"))[0] is ModelState.READY


async def test_changed_files_bring_a_broken_model_back(server: RunningServer) -> None:
    await break_down(server)
    publish(server.repository, "risky", 1, int_div(dims=("any",)))
    await server.ready("risky")
    assert await ask(server, "risky", SEVEN) == 3


async def test_a_broken_model_whose_new_files_do_not_load_gives_their_reason(server: RunningServer) -> None:
    await break_down(server)
    publish(server.repository, "risky", 1, b"broken")

    async def says_so() -> bool:
        return "model.onnx" in (await entry_of(server, "risky"))[1]

    await until(says_so)
    assert (await entry_of(server, "risky"))[0] is ModelState.UNAVAILABLE


async def test_a_lower_version_answers_for_a_broken_one(server: RunningServer) -> None:
    publish(server.repository, "risky", 2, int_div(dims=("any",)), "versions: all\n")
    await server.ready("risky", 2)
    await break_down(server)
    assert server.server.inference.versions("risky") == (1,)
    assert await ask(server, "risky", SEVEN) == 3


async def test_a_bug_of_ours_in_a_models_loop_makes_it_unavailable_until_it_is_loaded_again(
    server: RunningServer,
) -> None:
    class Buggy(Rows):
        def stack(self, items: Any) -> Any:
            raise LookupError("a bug")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # it is logged, as bugs are
    server.server.inference.served("plain", None).batcher._form = Buggy()
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match=r"stopped after an internal error \(LookupError\)"):
            await ask(server, "plain")
    state, reason = await entry_of(server, "plain")
    assert (state, "LookupError" in reason) == (ModelState.UNAVAILABLE, True)
    assert not server.server.inference.model_ready("plain", None)
    assert await ask(server, "apart") == 1
    await server.server.lifecycle.load("plain")
    assert await ask(server, "plain") == 1


async def test_reloads_and_deaths_leave_nothing_behind(server: RunningServer) -> None:
    async def reload(number: int) -> None:
        publish(server.repository, "apart", 1, row_constant(number), APART)

        async def answers() -> bool:
            return await ask(server, "apart") == number

        await until(answers)
        await until(lambda: len(own_workers()) == 2)

    def is_replaced(worker: int) -> bool:
        return worker not in own_workers() and len(own_workers()) == 2

    await reload(2)
    before = open_files(os.getpid())
    for number in range(3, 9):
        await reload(number)
        [worker] = own_workers() - {min(own_workers())}
        os.kill(worker, signal.SIGSEGV)
        await until(partial(is_replaced, worker))
        assert await ask(server, "apart") == number
    await until(lambda: open_files(os.getpid()) <= before)


async def test_leaving_the_server_leaves_no_process(repository: Path, tmp_path: Path) -> None:
    async with running_server(repository, tmp_path / "state"):
        assert len(own_workers()) == 2
    assert own_workers() == frozenset()


async def test_a_drain_answers_what_runs_in_other_processes_and_leaves_none(tmp_path: Path) -> None:
    directory = tmp_path / "models"
    publish(directory, "slow", 1, slow_always(40_000), "isolation: process\n")
    with server_process(directory, tmp_path / "state") as server:
        started = children(server.process.pid)
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64}]}
        async with aiohttp.ClientSession() as session:

            async def post() -> int:
                async with session.post(f"{server.http}/v2/models/slow/infer", json=body) as response:
                    return response.status

            assert await post() == 200
            asked = [asyncio.ensure_future(post()) for _ in range(4)]

            async def some_are_in() -> bool:
                async with session.get(f"{server.http}/metrics") as answer:
                    return Scrape.of(await answer.text()).value("onnxd_in_flight_requests") >= 2

            await until(some_are_in)
            for pid in (*started, server.process.pid):  # as a service manager does it
                os.kill(pid, signal.SIGTERM)
            assert await asyncio.gather(*asked) == [200] * 4
        assert server.process.wait(30) == 0
        assert all(map(has_ended, started))


async def test_a_server_that_is_killed_leaves_no_process(repository: Path, tmp_path: Path) -> None:
    with server_process(repository, tmp_path / "state") as server:
        started = workers(server.process.pid)
        assert len(started) == 2
        server.process.kill()
        server.process.wait()
        await until(lambda: all(map(has_ended, started)))


def test_a_server_with_add_one_alone_starts_no_process_of_a_model(tmp_path: Path) -> None:
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    with server_process(tmp_path / "models", tmp_path / "state") as server:
        assert workers(server.process.pid) == frozenset()
