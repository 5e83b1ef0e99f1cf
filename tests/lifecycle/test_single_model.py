"""A repository directory that is one model, as a storage initializer leaves it in /mnt/models."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from tests.support.grpc_server import grpc_calls, infer_request
from tests.support.mounts import bare, versioned
from tests.support.server import RunningServer, running_server

PBTXT = 'name: "what_its_author_called_it"\nbackend: "onnxruntime"\nmax_batch_size: 8\n'
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def triton(mount: Path) -> None:
    versioned(mount)
    (mount / "config.pbtxt").write_text(PBTXT)


def behind_a_link(mount: Path) -> None:
    """An image that is mounted as a volume (KServe's modelcars)."""
    behind = mount.parent / "image" / "models"
    behind.parent.mkdir()
    triton(behind)
    mount.symlink_to(behind)


async def metadata(server: RunningServer, model: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.http}/v2/models/{model}") as answer,
    ):
        assert answer.status == 200
        return await answer.json()


@pytest.mark.parametrize(
    ("layout", "versions"),
    [(bare, ["1"]), (versioned, ["2"]), (triton, ["2"]), (behind_a_link, ["2"])],
    ids=["bare", "versioned", "triton", "behind a link"],
)
async def test_it_is_served_as_it_is_under_the_name_that_it_is_given(
    tmp_path: Path, layout: Callable[[Path], None], versions: list[str]
) -> None:
    mount = tmp_path / "mount"
    layout(mount)
    async with running_server(mount, tmp_path / "state", single_model_name="resnet") as server:
        assert (await metadata(server, "resnet"))["versions"] == versions
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.http}/v2/models/resnet/infer", json=BODY) as answer,
        ):
            assert (await answer.json())["outputs"][0]["data"] == [2, 3, 4, 5]
        async with grpc_calls(server.grpc) as calls:
            answered = await calls.ask(
                "ModelInfer", infer_request("resnet", {"x": np.ones((1, 4), np.float32)})
            )
        assert answered.model_name == "resnet"


async def test_several_models_keep_their_own_names(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    bare(mount / "one")
    versioned(mount / "two")
    async with running_server(mount, tmp_path / "state", single_model_name="resnet") as server:
        assert {entry.name for entry in await server.server.lifecycle.index()} == {"one", "two"}


async def test_it_is_reloaded_and_unloaded_like_any_other(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    versioned(mount)
    async with running_server(mount, tmp_path / "state", single_model_name="resnet") as server:
        draft = mount / ".3"
        shutil.copytree(mount / "2", draft)
        draft.rename(mount / "3")
        await server.ready("resnet", 3)
        await server.server.lifecycle.unload("resnet")
        await server.gone("resnet")
        await server.server.lifecycle.load("resnet")
        await server.ready("resnet", 3)


async def test_files_that_are_swept_away_before_new_ones_come_do_not_end_it(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    triton(mount)
    async with running_server(mount, tmp_path / "state", single_model_name="resnet") as server:
        mount.rename(tmp_path / "old")
        with pytest.raises(Exception, match="no such directory"):
            await server.server.lifecycle.load("resnet")
        await server.ready("resnet", 2)


def test_check_examines_it_under_the_same_name(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    triton(mount)
    (tmp_path / "server.yaml").write_text("single_model_name: resnet\n")
    command = [sys.executable, "-m", "onnxd", "check", "--config", str(tmp_path / "server.yaml"), str(mount)]

    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "resnet" in checked.stdout
