"""With a manifest nothing is guessed: whole files are loaded at once, and others are not loaded."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from onnxd.cli.main import cli
from onnxd.messages import InferRequest
from onnxd.repository.watcher import WatchConfig
from tests.support.files import put
from tests.support.graphs import add_one, row_constant, save_with_external_data, two_inputs
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

BATCHED = "max_batch_size: 8\n"
NEVER_S = 3600.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    """One that takes an hour to believe that files have settled."""
    (tmp_path / "models").mkdir()
    publish(tmp_path / "models", "one", 1, row_constant(1), BATCHED)
    write_manifest(tmp_path / "models" / "one")
    watch = WatchConfig(scan_interval=0.1, settle=NEVER_S)
    async with running_server(tmp_path / "models", tmp_path / "state", watch=watch) as running:
        yield running


def write_manifest(directory: Path) -> None:
    result = CliRunner().invoke(cli, ["manifest", str(directory)])
    assert result.exit_code == 0, result.output


async def answer(server: RunningServer) -> int:
    request = InferRequest("one", {"x": np.zeros((1, 4), np.float32)})
    response = await server.server.inference.infer(request)
    return int(response.outputs["y"].flat[0])


async def until_answer(server: RunningServer, expected: int) -> None:
    async def answers() -> bool:
        return await answer(server) == expected

    await until(answers)


async def test_a_model_is_loaded_as_soon_as_its_files_are_those_of_its_manifest(
    server: RunningServer,
) -> None:
    assert await answer(server) == 1
    draft = server.repository / ".draft"
    put(draft / "model.onnx", add_one())
    write_manifest(draft)
    manifest = (draft / "manifest.yaml").read_bytes()
    put(server.repository / "two/1/manifest.yaml", manifest)
    for part in range(1, 5):
        put(server.repository / "two/1/model.onnx", add_one()[: len(add_one()) * part // 4])
        await asyncio.sleep(0)
    await server.ready("two", 1)
    assert server.server.lifecycle.loads["failure"] == 0


async def test_a_version_that_comes_file_by_file_is_not_tried_before_it_is_whole(
    server: RunningServer,
) -> None:
    draft = server.repository / ".draft"
    draft.mkdir()
    save_with_external_data(draft / "model.onnx")
    write_manifest(draft)
    for number, name in enumerate(("manifest.yaml", "model.onnx", "model.onnx.data"), start=1):
        assert "big" not in server.server.inference._catalog.names()
        put(server.repository / "big/1" / name, (draft / name).read_bytes())
        publish(server.repository, f"marker-{number}", 1, row_constant(3), BATCHED)
        write_manifest(server.repository / f"marker-{number}")
        await server.ready(f"marker-{number}")
    await server.ready("big", 1)
    assert server.server.lifecycle.loads["failure"] == 0


async def test_a_config_and_a_graph_that_belong_together_come_together(server: RunningServer) -> None:
    """The order in which they come does not matter: the manifest says when both are there."""
    pair = server.repository / "one"
    for first, second in (("config.yaml", "1/model.onnx"), ("1/model.onnx", "config.yaml")):
        for graph, config in ((two_inputs(), "inputs: [{name: a}, {name: b}]\n"), (add_one(), "")):
            files = {"1/model.onnx": graph, "config.yaml": (BATCHED + config).encode()}
            text = "files:\n" + "".join(
                f"  {name}: {hashlib.sha256(content).hexdigest()}\n" for name, content in files.items()
            )
            put(pair / "manifest.yaml", text.encode())
            put(pair / first, files[first])
            await asyncio.sleep(0)
            put(pair / second, files[second])
            await until(partial(takes, server, {"a", "b"} if config else {"x"}))
    assert server.server.lifecycle.loads["failure"] == 0


def takes(server: RunningServer, names: set[str]) -> bool:
    return {tensor.name for tensor in server.server.inference.spec("one", None).inputs} == names


async def test_what_is_not_as_stated_is_refused_with_the_file_and_both_digests(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    publish(repository, "one", 1, row_constant(1), BATCHED)
    async with running_server(repository, tmp_path / "state") as server:
        put(repository / "one/2/model.onnx", row_constant(2))
        write_manifest(repository / "one/2")
        put(repository / "one/2/model.onnx", row_constant(3))
        reason = await server.reason("one", 2)
        assert "'model.onnx' is not the file that 2/manifest.yaml names" in reason
        for graph in (row_constant(2), row_constant(3)):
            assert hashlib.sha256(graph).hexdigest() in reason
        assert await answer(server) == 1
        put(repository / "one/2/model.onnx", row_constant(2))
        await until_answer(server, 2)


async def test_writing_a_manifest_for_what_serves_is_no_reload(server: RunningServer) -> None:
    before = server.server.inference.served("one", 1)
    (server.repository / "one" / "manifest.yaml").unlink()
    write_manifest(server.repository / "one" / "1")
    await server.server.lifecycle.load("one")
    assert server.server.inference.served("one", 1) is before


@pytest.mark.parametrize("flat", [False, True], ids=["versions", "flat"])
async def test_the_command_writes_what_the_server_takes(tmp_path: Path, flat: bool) -> None:
    model = tmp_path / "models" / "one"
    put(model / ("model.onnx" if flat else "1/model.onnx"), row_constant(1))
    put(model / "config.yaml", BATCHED.encode())
    put(model / "notes.txt", b"for people")
    put(model / "notes.txt~", b"left by an editor")
    write_manifest(model)
    text = (model / "manifest.yaml").read_text()
    assert sorted(line.split(":")[0].strip() for line in text.splitlines()[1:]) == sorted(
        ["config.yaml", "notes.txt", "model.onnx" if flat else "1/model.onnx"]
    )
    async with running_server(tmp_path / "models", tmp_path / "state") as server:
        assert await answer(server) == 1


def test_the_command_has_nothing_to_write_for_an_empty_directory(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["manifest", str(tmp_path)])
    assert result.exit_code == 2
    assert "has no files that a server would read" in result.output
