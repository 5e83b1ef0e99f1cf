"""`onnxd replay`, and what else is made of recordings, against a running server that records."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import yaml
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from onnxd.telemetry.record_reader import open_recording
from onnxd.telemetry.recorder import RecorderConfig
from onnxd.tensors import Datatype
from onnxd_client import AsyncClient
from tests.support.graphs import identity, row_constant
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENT = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """It has recorded six requests to `one` and three to `text`; `one` has had another version since, and of
    `other` nothing is recorded."""
    root = tmp_path_factory.mktemp("replay")
    publish(root / "models", "one", 1, row_constant(7), "max_batch_size: 8\nversions: all\n")
    publish(root / "models", "one", 2, row_constant(8))
    publish(root / "models", "text", 1, identity(Datatype.BYTES, ("n",)))
    publish(root / "models", "other", 1, row_constant(7), "max_batch_size: 8\n")
    config = RecorderConfig(share=1.0, directory=root / "ring", models=("one", "text"))
    async with running_server(root / "models", root / "state", recorder=config) as running:
        async with AsyncClient(running.http) as client:
            for rows in (1, 2, 1, 1, 2, 1):
                await client.infer("one", {"x": np.full((rows, 4), rows, np.float32)}, version=1)
            for words in (["a"], ["b", "grün"], ["c"]):
                await client.infer("text", {"x": np.array(words, object)})

        async def are_written() -> bool:
            return any((root / "ring").iterdir()) and len(open_recording(root / "ring").entries) == SENT + 3

        await until(are_written)
        # What replays send is recorded too: they are given a copy.
        (file,) = (root / "ring").iterdir()
        (root / "kept.onnxdrec").write_bytes(file.read_bytes())
        yield running


def kept(server: RunningServer) -> str:
    return str(server.repository.parent / "kept.onnxdrec")


def damaged_copy(recording: Path, directory: Path) -> Path:
    """Every record with another last byte."""
    data = bytearray(recording.read_bytes())
    for entry in open_recording(recording).entries:
        data[entry.offset + entry.byte_size - 1] ^= 1
    copy = directory / recording.name
    copy.write_bytes(data)
    return copy


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments))


async def test_the_version_that_answered_answers_the_same_again(server: RunningServer) -> None:
    for url in (server.http, f"grpc://{server.grpc}"):
        arguments = ("--model", "one", "--version", "1", "--speed", "1000", "--json", "--url", url)
        shown = await run("replay", kept(server), *arguments)
        assert shown.exit_code == 0, shown.output
        document = json.loads(shown.stdout)
        assert (document["same"], document["different"], document["failed"]) == (SENT, 0, {})
        assert [row["name"] for row in document["times"]] == [
            "whole, p50", "whole, p99", "queue, mean", "compute, mean",
        ]  # fmt: skip
        assert all(row["recorded_s"] > 0 and row["now_s"] > 0 for row in document["times"])


async def test_text_is_compared_as_text(server: RunningServer) -> None:
    shown = await run("replay", kept(server), "--model", "text", "--speed", "1000", "--url", server.http)
    assert shown.exit_code == 0, shown.output
    assert "same       3" in shown.output


async def test_a_version_that_answers_otherwise_is_told_and_is_the_exit_code(server: RunningServer) -> None:
    arguments = ("--model", "one", "--version", "2", "--requests", "2", "--speed", "1000")
    shown = await run("replay", kept(server), *arguments, "--url", server.http)
    assert shown.exit_code == 1
    assert "different   2" in shown.output
    assert "output 'y' at [0, 0] is 8, was 7; 1 of 1 elements differ" in shown.output


async def test_another_model_can_be_asked_and_failures_are_counted(server: RunningServer) -> None:
    arguments = ("--model", "one", "--speed", "1000", "--url", server.http)
    other = await run("replay", kept(server), *arguments, "--as", "other")
    assert (other.exit_code, "same       6" in other.output) == (0, True), other.output
    wrong = await run("replay", kept(server), *arguments, "--as", "text")
    assert wrong.exit_code == 1
    assert "failed     6" in wrong.output
    assert "error: 6 times InvalidRequest (HTTP 400)" in wrong.output


async def test_what_there_is_instead_is_told(server: RunningServer) -> None:
    shown = await run("replay", kept(server), "--model", "none", "--url", server.http)
    assert shown.exit_code == 2
    assert "it has one version 1 (6), text version 1 (3)" in shown.output


async def test_shapes_become_a_warm_up_that_a_config_takes(server: RunningServer) -> None:
    shown = await run("replay", kept(server), "--model", "one", "--warmup", "--url", server.http)
    assert shown.exit_code == 0, shown.output
    assert yaml.safe_load(shown.output) == {
        "warmup": {
            "samples": [
                {"batch_size": rows, "inputs": {"x": {"shape": [4], "fill": "random"}}} for rows in (1, 2)
            ]
        }
    }
    publish(server.repository, "warm", 1, row_constant(1), f"max_batch_size: 8\n{shown.output}")
    await server.ready("warm")


async def test_recorded_requests_become_a_golden_file_that_the_next_version_must_match(
    server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "golden.npz"
    arguments = ("--from-recording", kept(server), "--rows", "3", "--version", "1", "--output", str(file))
    shown = await run("golden", "one", *arguments, "--url", server.http)
    assert shown.exit_code == 0, shown.output
    with np.load(file) as golden:
        assert golden["input/x"].tolist() == [[1] * 4, [2] * 4, [2] * 4]
        assert golden["output/y"].tolist() == [[7]] * 3
    neither = await run("golden", "one", "--url", server.http)
    assert (neither.exit_code, "--from-recording" in neither.output) == (2, True)


async def test_a_recording_of_which_nothing_can_be_read_is_no_success(
    server: RunningServer, tmp_path: Path
) -> None:
    damaged = damaged_copy(Path(kept(server)), tmp_path)
    arguments = ("--model", "one", "--speed", "1000", "--url", server.http)
    shown = await run("replay", str(damaged), *arguments)
    assert shown.exit_code == 1
    assert "unreadable   6" in shown.output
