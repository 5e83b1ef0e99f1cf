"""The command as it is started and stopped."""

import asyncio
import math
import re
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from onnxd.app import drain
from onnxd.settings.server_settings import ServerSettings
from tests.support.graphs import add_one, slow_always
from tests.support.processes import children_of, ended
from tests.support.scraping import Scrape
from tests.support.server import publish, running_server, server_process
from tests.support.until import until


def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    publish(directory, "m", 1, add_one(), "max_batch_size: 8\n")
    return directory


def test_the_banner_says_what_was_loaded_where_it_listens_and_what_to_try(tmp_path: Path) -> None:
    directory = repository(tmp_path)
    publish(directory, "broken", 1, b"broken")
    with server_process(directory, tmp_path / "state") as server:
        assert server.process.stderr is not None
        shown = "".join(server.log)
        while "try" not in shown:
            shown += server.process.stderr.readline()
    assert "READY       m version 1" in shown
    assert "UNAVAILABLE broken version 1: model.onnx" in shown
    assert re.search(r"scrape http://127\.0\.0\.1:\d+/metrics", shown)
    assert f"curl {server.http}/v2/models/m" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_drains_and_exits_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with server_process(repository(tmp_path), tmp_path / "state") as server:
        server.process.send_signal(number)
        assert server.process.wait(30) == 0


async def test_requests_in_flight_at_sigterm_are_answered(tmp_path: Path) -> None:
    directory = tmp_path / "models"
    publish(directory, "slow", 1, slow_always(20_000), "batching: {max_queue_size: 100}\n")
    with server_process(directory, tmp_path / "state") as server:
        url = f"{server.http}/v2/models/slow"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                body = {"inputs": [_zeros(tensor) for tensor in (await response.json())["inputs"]]}

            async def ask() -> int:
                async with session.post(f"{url}/infer", json=body) as response:
                    return response.status

            async def one_has_been_answered() -> bool:
                """Then the others wait behind the next."""
                async with session.get(f"{url}/stats") as response:
                    stats = (await response.json())["model_stats"][0]["inference_stats"]
                return int(stats["success"]["count"]) >= 1

            asked = [asyncio.ensure_future(ask()) for _ in range(6)]
            await until(one_has_been_answered)
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.gather(*asked) == [200] * 6
        assert server.process.wait(30) == 0


async def test_metrics_are_answered_until_the_drain_is_over(tmp_path: Path) -> None:
    async with (
        running_server(repository(tmp_path), tmp_path / "state") as server,
        aiohttp.ClientSession() as session,
    ):
        await drain(ServerSettings(), server.server)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{server.http}/metrics")
        async with session.get(server.metrics) as answer:
            assert Scrape.of(await answer.text()).value("nv_inference_count", model="m") == 0


def test_no_child_process_outlives_the_server(tmp_path: Path) -> None:
    with server_process(repository(tmp_path), tmp_path / "state") as server:
        children = children_of(server.process.pid)
        assert children
        server.process.kill()
        server.process.wait()
        gone = [ended(pid) for pid in children]
    assert all(gone)


def test_a_second_server_with_the_same_state_directory_says_so_and_ends(tmp_path: Path) -> None:
    directory = repository(tmp_path)
    with (
        server_process(directory, tmp_path / "state"),
        pytest.raises(AssertionError, match="in use by another onnxd"),
        server_process(directory, tmp_path / "state"),
    ):
        pass


def _zeros(tensor: dict[str, Any]) -> dict[str, Any]:
    shape = [max(size, 1) for size in tensor["shape"]]
    return {**tensor, "shape": shape, "data": [0] * math.prod(shape)}
