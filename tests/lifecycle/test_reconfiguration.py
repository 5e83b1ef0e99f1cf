"""An edit of the config that a serving version can take is no reload."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxd.errors import QueueFull
from onnxd.messages import InferRequest
from onnxd.repository.catalog import ModelState
from tests.support.graphs import add_one, row_constant, slow_always
from tests.support.server import RunningServer, publish, running_server
from tests.support.spies import count_sessions, count_trials
from tests.support.until import until

BATCHED = "max_batch_size: 8\n"
STEPS = 20_000


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    directory = tmp_path / "models"
    publish(directory, "m", 1, add_one(), BATCHED)
    async with running_server(directory, tmp_path / "state") as running:
        yield running


@pytest.fixture
def sessions(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each session that is built in the server, from when it is up."""
    return count_sessions(monkeypatch)


def write_config(server: RunningServer, text: str, model: str = "m") -> None:
    draft = server.repository / model / ".config.tmp"
    draft.write_text(text)
    draft.rename(server.repository / model / "config.yaml")


def delay(server: RunningServer) -> float:
    return server.server.inference.served("m", 1).config.batching.max_queue_delay


async def test_batching_settings_are_applied_to_what_serves(
    server: RunningServer, sessions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = count_trials(monkeypatch)
    served = server.server.inference.served("m", 1)
    before = served.identity
    write_config(server, BATCHED + "batching: {max_queue_delay: 7ms, max_queue_size: 3}\n")
    await until(lambda: delay(server) == 0.007)
    assert server.server.inference.served("m", 1) is served
    assert served.identity != before
    assert served.batcher.policy == served.config.batching.policy()
    shown = served.triton_config().dynamic_batching
    assert (shown.max_queue_delay_microseconds, shown.default_queue_policy.max_queue_size) == (7000, 3)
    assert (sessions, trials) == ([], [])
    assert [
        (entry.state, entry.reason) for entry in await server.server.lifecycle.index() if entry.name == "m"
    ] == [(ModelState.READY, "")]


async def test_requests_that_wait_and_run_are_not_disturbed_and_the_next_one_meets_the_new_bound(
    server: RunningServer,
) -> None:
    publish(server.repository, "slow", 1, slow_always(STEPS))
    await server.ready("slow")
    served = server.server.inference.served("slow", 1)
    inputs = {
        tensor.name: np.zeros([1 if size < 0 else size for size in tensor.shape], tensor.datatype.dtype)
        for tensor in served.spec.inputs
    }

    def ask() -> "asyncio.Task[Any]":
        return asyncio.ensure_future(server.server.inference.infer(InferRequest("slow", dict(inputs))))

    asked = [ask() for _ in range(4)]

    def bounded() -> bool:
        """Whether the new bound holds; until then some run and some wait."""
        if served.config.batching.max_queue_size == 1:
            return True
        asked.extend(ask() for _ in range(4 - sum(not task.done() for task in asked)))
        return False

    write_config(server, "batching: {max_queue_size: 1}\n", "slow")
    await until(bounded)
    assert not all(task.done() for task in asked)
    later = [ask() for _ in range(2)]
    assert not any(isinstance(end, BaseException) for end in await asyncio.gather(*asked))
    ended = await asyncio.gather(*later, return_exceptions=True)
    assert any(isinstance(end, QueueFull) for end in ended)


async def test_a_comment_in_the_config_is_no_reload(server: RunningServer, sessions: list[str]) -> None:
    served = server.server.inference.served("m", 1)
    before = served.identity
    write_config(server, "# for the night\n" + BATCHED)
    await until(lambda: served.identity != before)
    assert server.server.inference.served("m", 1) is served
    assert sessions == []


async def test_a_version_more_is_not_a_reload_of_the_others(
    server: RunningServer, sessions: list[str]
) -> None:
    served = server.server.inference.served("m", 1)
    publish(server.repository, "m", 2, row_constant(2), BATCHED + "versions: all\n")
    await server.ready("m", 2)
    assert server.server.inference.served("m", 1) is served
    assert len(sessions) == 1


async def test_whatever_else_changes_beside_batching_settings_is_a_reload(server: RunningServer) -> None:
    served = server.server.inference.served("m", 1)
    write_config(server, BATCHED + "instances: 2\nbatching: {max_queue_delay: 7ms}\n")
    await until(lambda: delay(server) == 0.007)
    assert server.server.inference.served("m", 1) is not served


async def test_other_labels_are_a_reload(server: RunningServer) -> None:
    labels = server.repository / "m" / "labels.txt"
    labels.write_text("a\nb\nc\nd\n")
    write_config(server, BATCHED + "outputs: [{name: y, labels: labels.txt}]\n")
    await until(lambda: server.server.inference.spec("m", None).outputs[0].labels == ("a", "b", "c", "d"))
    labels.write_text("a\nb\nc\ne\n")
    await until(lambda: server.server.inference.spec("m", None).outputs[0].labels == ("a", "b", "c", "e"))


async def test_a_rollback_brings_the_former_batching_settings_back(
    server: RunningServer, sessions: list[str]
) -> None:
    write_config(server, BATCHED + "batching: {max_queue_delay: 7ms}\n")
    await until(lambda: delay(server) == 0.007)
    await server.server.lifecycle.rollback("m")
    assert delay(server) == 0
    assert sessions == []


async def test_settings_that_cannot_be_read_leave_those_that_are_in_force(server: RunningServer) -> None:
    write_config(server, BATCHED + "batching: {max_queue_delay: seven}\n")
    assert "max_queue_delay" in await server.reason("m", 1)
    assert delay(server) == 0
