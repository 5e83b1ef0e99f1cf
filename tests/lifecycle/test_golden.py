"""A version that brings answers must give them before it serves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from onnxd.cli.main import cli
from onnxd.messages import InferRequest
from onnxd.repository.catalog import ModelState
from tests.support.graphs import add_one, deadly, row_constant
from tests.support.server import RunningServer, publish, running_server
from tests.support.spies import count_trials

BATCHED = "max_batch_size: 8\n"
X = np.zeros((2, 4), np.float32)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    directory = tmp_path / "models"
    publish(directory, "m", 1, row_constant(1), BATCHED)
    async with running_server(directory, tmp_path / "state") as running:
        yield running


def publish_golden(server: RunningServer, version: int, graph: bytes, expected: int) -> None:
    """A version whose golden.npz expects this number in every place."""
    draft = server.repository / "m" / f"{version}.tmp"
    draft.mkdir()
    (draft / "model.onnx").write_bytes(graph)
    arrays: dict[str, Any] = {"input/x": X, "output/y": np.full((2, 1), expected, np.int64)}
    np.savez(draft / "golden.npz", **arrays)
    draft.rename(server.repository / "m" / str(version))


async def answer(server: RunningServer) -> float:
    response = await server.server.inference.infer(InferRequest("m", {"x": X}))
    return float(response.outputs["y"].flat[0])


async def test_a_version_that_gives_the_expected_answers_serves(server: RunningServer) -> None:
    publish_golden(server, 2, row_constant(2), 2)
    await server.ready("m", 2)
    assert await answer(server) == 2


async def test_a_version_that_answers_something_else_is_refused_and_the_old_one_serves(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = count_trials(monkeypatch)
    publish_golden(server, 2, row_constant(3), 2)
    reason = await server.reason("m", 2)
    assert reason == (
        "output 'y' is not what golden.npz expects: at [0, 0] it is 3, expected 2, it must be equal; "
        "2 of 2 elements differ"
    )
    assert await answer(server) == 1
    for number in (1, 2):
        publish(server.repository, f"marker-{number}", 1, add_one(), BATCHED)
        await server.ready(f"marker-{number}")
    assert len(trials) == 2 * 3


async def test_a_run_that_kills_its_process_is_a_reason_like_any_other(server: RunningServer) -> None:
    publish_golden(server, 2, deadly(), 2)
    assert "SIGFPE" in await server.reason("m", 2)
    assert await answer(server) == 1


async def test_an_inadequate_file_is_named_by_the_check_too(server: RunningServer) -> None:
    publish_golden(server, 2, row_constant(2), 2)
    (server.repository / "m/2/golden.npz").write_bytes(b"text")
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["check", str(server.repository)])
    assert result.exit_code == 1
    assert "golden.npz: it is not what numpy.savez writes" in result.output


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_the_command_writes_what_the_serving_model_answers(
    server: RunningServer, tmp_path: Path, protocol: str
) -> None:
    np.savez(tmp_path / "inputs.npz", x=X)
    url = server.http if protocol == "http" else f"grpc://{server.grpc}"
    golden = tmp_path / "golden.npz"
    arguments = ["golden", "m", "--from", str(tmp_path / "inputs.npz"), "--output", str(golden), "--url", url]
    result = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
    assert result.output == f"{golden}: y of m version 1\n"
    with np.load(golden) as arrays:
        assert sorted(arrays.files) == ["input/x", "output/y"]
    draft = server.repository / "m" / "2.tmp"
    draft.mkdir()
    golden.rename(draft / "golden.npz")
    (draft / "model.onnx").write_bytes(row_constant(9))
    draft.rename(server.repository / "m" / "2")
    assert "it is 9, expected 1" in await server.reason("m", 2)
    states = {entry.version: entry.state for entry in await server.server.lifecycle.index()}
    assert states == {1: ModelState.READY, 2: ModelState.UNAVAILABLE}
