"""The commands that talk to a running server, against a real one on both protocols."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.datasets import load_digits

from onnxd.cli.main import cli
from onnxd.telemetry.logs import LogConfig, logging_to_stderr
from tests.support import graphs
from tests.support.server import SHIPPED, publish, running_server

_SEVEN = 7
"""An image of a seven in scikit-learn's set."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models, and one that does not load."""
    root = tmp_path_factory.mktemp("repository")
    for model in ("digits", "language"):
        (root / model).symlink_to(SHIPPED / model)
    publish(root, "torn", 1, graphs.identity()[:40])
    return root


@pytest.fixture(autouse=True)
def _log_apart() -> Iterator[None]:
    """The server is in this process, and its log must not be taken for what a command prints."""
    with logging_to_stderr(LogConfig(level="error")):
        yield


async def run(*arguments: str, url: str) -> Result:
    """A command beside the server's loop, as another process would be."""
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env={"ONNXD_URL": url})


@pytest.mark.slow
async def test_models_can_be_listed_asked_unloaded_and_loaded(repository: Path, tmp_path: Path) -> None:
    seven = load_digits().images[_SEVEN]
    picture, array = tmp_path / "seven.png", tmp_path / "seven.npy"
    Image.fromarray((seven / 16 * 255).round().astype(np.uint8)).resize((80, 80)).save(picture)
    np.save(array, seven)

    async with running_server(repository, tmp_path / "state") as server:
        for url in (server.http, f"grpc://{server.grpc}"):
            await _every_command(url, picture, array)


async def _every_command(url: str, picture: Path, array: Path) -> None:
    listed = await run("models", url=url)
    assert listed.exit_code == 0
    rows = [re.split(r" {2,}", line) for line in listed.stdout.splitlines()[2:]]
    assert rows[0][:5] == ["digits", "1", "READY", "pixels FP32 [-1,64]", "scores FP32 [-1,10]"]
    memory = [r"[\d.]+ [KM]?i?B, peak [\d.]+ [KM]?i?B"] if url.startswith("http") else []
    assert all(map(re.fullmatch, memory, rows[0][5:]))
    assert len(memory) == len(rows[0][5:])
    assert next(row for row in rows if row[0] == "torn")[2] == "UNAVAILABLE"

    asked = await run("infer", "digits", str(picture), "--pixels", "0:16", url=url)
    assert (asked.exit_code, asked.stderr) == (0, "")
    assert asked.stdout.splitlines()[:2] == ["digits version 2", "  scores"]
    assert asked.stdout.splitlines()[2].startswith("    seven  0.9")

    text = await run("infer", "language", "Guten Tag, wie geht es dir?", url=url)
    assert text.stdout.splitlines()[2].startswith("    german")
    assert "    [['german']]" in text.stdout

    told = json.loads((await run("infer", "digits", str(array), "--json", "--version", "1", url=url)).stdout)
    assert (told["model"], told["version"]) == ("digits", "1")
    assert int(np.argmax(told["outputs"]["scores"][0])) == _SEVEN
    assert told["classes"]["scores"][0][0]["label"] == "seven"

    unfit = await run("infer", "digits", "[1, 2]", url=url)
    assert (unfit.exit_code, unfit.stderr) == (
        2,
        "Error: [1, 2]: input 'pixels' takes rows of FP32 [64], which an array of shape [2] does not fit\n",
    )
    unknown = await run("infer", "nobody", "[1]", url=url)
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error: unknown model 'nobody'")

    gone = await run("unload", "digits", url=url)
    assert (gone.exit_code, gone.stdout) == (0, "digits is not served any more.\n")
    refused = await run("infer", "digits", str(array), url=url)
    assert refused.exit_code == 1
    assert "unloaded" in refused.stderr
    back = await run("load", "digits", url=url)
    assert (back.exit_code, back.stdout) == (0, "digits serves versions 1, 2.\n")

    failed = await run("load", "torn", url=url)
    assert failed.exit_code == 1
    assert failed.stderr.startswith("Error: ")


async def test_a_server_that_is_not_there_is_told_with_how_to_start_one() -> None:
    result = await run("models", url="http://127.0.0.1:1")

    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: no server answers at http://127.0.0.1:1; start one with `onnxd serve`"
    )
    assert len(result.stderr.splitlines()) == 1


async def test_an_address_without_a_protocol_is_a_mistake() -> None:
    result = await run("models", "--url", "127.0.0.1:8000", url="")

    assert result.exit_code == 2
    assert 'did you mean "http://127.0.0.1:8000"?' in result.stderr


async def test_a_model_without_an_input_is_told_what_one_is(repository: Path) -> None:
    result = await run("infer", "digits", "--pixels", "3", url="http://127.0.0.1:1")

    assert result.exit_code == 2
    assert "expected two numbers such as 0:16, got '3'" in result.stderr
