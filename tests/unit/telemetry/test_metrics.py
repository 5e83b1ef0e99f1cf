"""Many scrapers, and few texts."""

import asyncio
import threading

import pytest

import onnxd.telemetry.metrics
from onnxd.telemetry.metrics import Metrics
from onnxd.telemetry.observation import Observation
from tests.support.observations import BUILD
from tests.support.scraping import Scrape


class Server:
    """It is observed, and says how often it was."""

    def __init__(self) -> None:
        self.observed = 0

    def observe(self) -> Observation:
        self.observed += 1
        return Observation(BUILD, (), self.observed, {}, {})


def observation_in(text: bytes) -> float:
    """The number of the observation that a text was made of."""
    return Scrape.of(text.decode()).value("onnxd_in_flight_requests")


async def test_each_text_is_of_its_own_time() -> None:
    metrics = Metrics(Server().observe)
    assert [observation_in(await metrics.text()) for _ in range(3)] == [1, 2, 3]


async def test_it_has_the_process_and_the_machine() -> None:
    found = Scrape.of((await Metrics(Server().observe).text()).decode())
    assert found.value("process_resident_memory_bytes") > 0
    assert found.value("nv_cpu_memory_total_bytes") > found.value("nv_cpu_memory_used_bytes") > 0


async def test_who_asks_while_a_text_is_written_shares_the_next() -> None:
    server = Server()
    metrics = Metrics(server.observe)
    texts = await asyncio.gather(*(metrics.text() for _ in range(40)))
    assert [observation_in(text) for text in texts] == [1] + [2] * 39
    assert server.observed == 2


async def test_who_does_not_wait_cannot_have_two_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    writers = most = 0
    go_on = threading.Event()

    def write(_: Observation, *, openmetrics: bool) -> bytes:
        nonlocal writers, most
        writers += 1
        most = max(most, writers)
        go_on.wait(10)
        writers -= 1
        return b""

    monkeypatch.setattr(onnxd.telemetry.metrics, "exposition", write)
    server = Server()
    metrics = Metrics(server.observe)
    for _ in range(10):
        asking = asyncio.ensure_future(metrics.text())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert server.observed == 1
    last = asyncio.ensure_future(metrics.text())
    await asyncio.sleep(0)
    go_on.set()
    assert await last == b""
    assert (server.observed, most) == (2, 1)


async def test_a_fault_ends_one_scrape_and_not_those_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics(Server().observe)
    with monkeypatch.context() as patched:
        patched.setattr(onnxd.telemetry.metrics, "exposition", lambda _, openmetrics: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await metrics.text()
    assert observation_in(await metrics.text()) == 2
