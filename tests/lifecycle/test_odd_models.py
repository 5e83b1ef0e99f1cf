"""What looks bad and is served, or is refused only once it serves: versions, links, weights that change."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import LoadFailed, ModelNotFound
from onnxd.messages import InferRequest
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.layout import scan
from tests.support.graphs import add_one, row_constant
from tests.support.references import NEEDED, WEIGHTS, WIDTH, adding_outside
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

ODD_VERSIONS = ("0", "01", "-1", "1.0", "abc", "99999999999999999999")
CONFIG = "max_batch_size: 8\n"
PLATFORM = '{"platform": "onnxruntime_onnx"}'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    repository = tmp_path / "models"
    publish(repository, "good", 1, row_constant(1), CONFIG)
    async with running_server(repository, tmp_path / "state", model_overrides=True) as running:
        yield running


async def answer(server: RunningServer, model: str) -> list[float]:
    request = InferRequest(model, {"x": np.zeros((1, WIDTH), np.float32)})
    response = await server.server.inference.infer(request)
    return [float(value) for value in response.outputs["y"].flat]


async def looked_again(server: RunningServer, name: str) -> None:
    """Wait until the repository has been looked at since now."""
    publish(server.repository, name, 1, row_constant(1), CONFIG)
    await server.ready(name)


def weights(value: float) -> bytes:
    return np.full(WIDTH, value, np.float32).tobytes()


def publish_with_weights(repository: Path, model: str, version: int, value: float) -> Path:
    """y = x + w, with w in a file of its own. Returns that file."""
    draft = repository / f"{model}.tmp"
    (draft / str(version)).mkdir(parents=True)
    (draft / str(version) / "model.onnx").write_bytes(adding_outside())
    (draft / str(version) / WEIGHTS).write_bytes(weights(value))
    draft.rename(repository / model)
    return repository / model / str(version) / WEIGHTS


async def test_I3_a_model_without_a_version_is_listed_with_what_to_do(server: RunningServer) -> None:
    (server.repository / "bare").mkdir()
    (server.repository / "bare" / "config.yaml").write_text(CONFIG)
    assert "put its file into bare/1/model.onnx" in await server.reason("bare", None)


async def test_I3_a_model_without_a_config_is_served_as_its_graph_says(server: RunningServer) -> None:
    publish(server.repository, "bare", 1, add_one())
    await server.ready("bare")
    assert await answer(server, "bare") == [1.0] * WIDTH


@pytest.mark.parametrize("name", ODD_VERSIONS)
async def test_I4_a_directory_that_is_no_version_is_ignored(server: RunningServer, name: str) -> None:
    before = server.server.inference.served("good", None)
    publish_as = server.repository / "good" / name
    publish_as.mkdir()
    (publish_as / "model.onnx").write_bytes(row_constant(9))
    await looked_again(server, "marker")
    assert server.server.inference.served("good", None) is before
    assert server.server.inference.versions("good") == (1,)
    warned = [problem for problem in scan([server.repository]).problems if f"'{name}'" in problem]
    assert bool(warned) is (name != "abc")


async def test_I4_a_model_of_such_directories_alone_has_no_version(server: RunningServer) -> None:
    for name in ODD_VERSIONS:
        (server.repository / "odd" / name).mkdir(parents=True)
    assert "it has no version" in await server.reason("odd", None)


async def test_I9_a_hard_link_is_served_from_a_copy(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(weights(5))
    draft = server.repository / "linked.tmp"
    (draft / "1").mkdir(parents=True)
    (draft / "1" / "model.onnx").write_bytes(adding_outside())
    os.link(tmp_path / "elsewhere", draft / "1" / WEIGHTS)
    draft.rename(server.repository / "linked")
    await server.ready("linked")
    served = server.server.inference.served("linked", None)
    with (tmp_path / "elsewhere").open("r+b") as file:
        file.truncate(0)
    assert await answer(server, "linked") == [5.0] * WIDTH
    assert server.server.inference.served("linked", None) is served


async def test_I11_a_model_that_came_as_bytes_finds_no_file_of_the_servers(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime resolves such a path against the working directory."""
    (tmp_path / WEIGHTS).write_bytes(weights(5))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoadFailed, match=f"tensor 'w' refers to the file '{WEIGHTS}', which is not there"):
        await server.server.lifecycle.load("m", LoadOverride(PLATFORM, {"1/model.onnx": adding_outside()}))
    with pytest.raises(ModelNotFound):
        await answer(server, "m")


async def test_I11_bytes_over_a_good_model_leave_that_serving(server: RunningServer) -> None:
    with pytest.raises(LoadFailed, match="'w'"):
        await server.server.lifecycle.load("good", LoadOverride(PLATFORM, {"1/model.onnx": adding_outside()}))
    assert await answer(server, "good") == [1.0]


async def test_I11_weights_that_came_with_the_bytes_are_found(server: RunningServer) -> None:
    files = {"1/model.onnx": adding_outside(), f"1/{WEIGHTS}": weights(4)}
    await server.server.lifecycle.load("m", LoadOverride(PLATFORM, files))
    assert await answer(server, "m") == [4.0] * WIDTH


@pytest.mark.parametrize("how", ["truncated", "rewritten", "removed"])
async def test_I14_weights_that_change_while_they_serve_change_no_answer(
    server: RunningServer, how: str
) -> None:
    file = publish_with_weights(server.repository, "mapped", 1, 3)
    await server.ready("mapped")
    served = server.server.inference.served("mapped", None)
    failures = server.server.lifecycle.loads["failure"]
    if how == "truncated":
        os.truncate(file, NEEDED - 4)
    elif how == "rewritten":
        file.write_bytes(weights(7)[:-1])
    else:
        file.unlink()
    reason = await server.reason("mapped", 1)
    assert "its newer files do not load, the old ones serve" in reason
    assert f"'{WEIGHTS}', which" in reason
    await looked_again(server, "marker")
    await looked_again(server, "marker-2")
    assert await answer(server, "mapped") == [3.0] * WIDTH
    assert server.server.inference.served("mapped", None) is served
    assert server.server.lifecycle.loads["failure"] == failures + 1


async def test_I14_whole_new_weights_are_a_reload(server: RunningServer) -> None:
    file = publish_with_weights(server.repository, "mapped", 1, 3)
    await server.ready("mapped")
    draft = file.with_name("weights.tmp")
    draft.write_bytes(weights(8))
    draft.rename(file)

    async def answers() -> bool:
        return await answer(server, "mapped") == [8.0] * WIDTH

    await until(answers)
