"""Two hundred reloads under traffic: no request fails, and none is answered by two versions."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from onnxd.repository.catalog import Catalog
from tests.support.graphs import row_constant
from tests.support.server import publish, running_server, server_process
from tests.support.traffic import CONNECTIONS, Outcome, Window, drive

CONFIG = "max_batch_size: 8\n"
DEADLINE_S = 240


@dataclass(slots=True)
class Publisher:
    """Publishes version after version of one model, each as soon as the one before was seen serving."""

    repository: Path
    reloads: int
    published: int = 0
    seen: int = 0

    def publish(self) -> None:
        self.published += 1
        publish(self.repository, "counter", 1, row_constant(self.published), CONFIG)

    def note(self, outcome: Outcome) -> None:
        self.seen = max(self.seen, *outcome.numbers, 0)
        if self.seen == self.published <= self.reloads:
            self.publish()

    @property
    def done(self) -> bool:
        return self.seen > self.reloads


async def reload_under_traffic(
    http: str, grpc: str, publisher: Publisher, *, at_least: int, give_up_after: int = 0
) -> Outcome:
    """Drive traffic until all versions were seen and enough was answered, or so many requests failed."""

    def stop(outcome: Outcome) -> bool:
        publisher.note(outcome)
        if give_up_after and (outcome.failures.total() or outcome.mixed or outcome.stale):
            return True
        return publisher.done and outcome.answered >= at_least

    window = Window(oldest=lambda: publisher.seen, newest=lambda: publisher.published)
    async with asyncio.timeout(DEADLINE_S):
        return await drive(http, grpc, "counter", window, stop)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_reloads_fail_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "models", reloads=200)
    publisher.publish()
    quick = ("--watch-settle", "20ms", "--watch-scan-interval", "500ms")
    with server_process(publisher.repository, tmp_path / "state", *quick) as server:
        outcome = await reload_under_traffic(server.http, server.grpc, publisher, at_least=20_000)
    assert not outcome.failures
    assert (outcome.mixed, outcome.stale) == (0, 0)
    assert outcome.answered >= 20_000
    assert set(outcome.numbers) == set(range(1, 202))


async def test_the_check_notices_a_swap_that_leaves_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the old version is let go before the new one serves."""
    whole_swap = Catalog.swap

    def swap_with_a_gap(self: Catalog, name: str, served: Any, states: Any) -> Any:
        retired = whole_swap(self, name, {}, states)
        asyncio.get_running_loop().call_later(0.05, whole_swap, self, name, served, states)
        return retired

    publisher = Publisher(tmp_path / "models", reloads=1_000)
    publisher.publish()
    async with running_server(publisher.repository, tmp_path / "state") as server:
        monkeypatch.setattr(Catalog, "swap", swap_with_a_gap)
        outcome = await reload_under_traffic(server.http, server.grpc, publisher, at_least=0, give_up_after=1)
        monkeypatch.undo()
        await server.ready("counter")  # or the version in the gap is left to nobody, and its thread with it
    assert outcome.failures.total() >= 1
    assert outcome.failures.total() <= CONNECTIONS * 2
