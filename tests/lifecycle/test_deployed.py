"""The server as its manifests start it, and the commands that docs/operations.md says to type."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.graphs import add_one
from tests.support.kserve import ask_with_kserve
from tests.support.manifests import KSERVE, the
from tests.support.mounts import bare, versioned
from tests.support.scraping import Scrape
from tests.support.server import ROOT, SHIPPED, ServerProcess, server_process
from tests.support.until import until

PAGE: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
COMMANDS: Final = [
    line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
HERE: Final = [command for command in COMMANDS if " # " not in command]
ELSEWHERE: Final = [command for command in COMMANDS if " # " in command]
BODY: Final = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def needing(what: str) -> dict[str, None]:
    """The commands that need something, each once."""
    return dict.fromkeys(command for command in ELSEWHERE if command.endswith(f"  # needs {what}"))


def done_here(command: str) -> None:
    """Run it as it is typed in a clone, where it must end well without a word of complaint."""
    program, *arguments = shlex.split(command)
    if "manifests" in command and shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    start = {"onnxd": [sys.executable, "-m", "onnxd"], "python": [sys.executable]}.get(program, [program])
    if shutil.which(start[0]) is None:
        pytest.skip(f"{program} is not installed")

    done = subprocess.run(
        [*start, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(SHIPPED, tmp_path_factory.mktemp("state")) as running:
        yield running


def test_the_page_has_commands_of_each_kind() -> None:
    assert len(HERE) >= 6
    assert len(needing("a server")) >= 5
    assert len(needing("a cluster")) >= 10


@pytest.mark.parametrize("command", dict.fromkeys(HERE))
def test_a_command_that_needs_nothing_runs(command: str) -> None:
    done_here(command)


@pytest.mark.parametrize("command", needing("a server"))
def test_a_command_that_needs_a_server_runs_against_one(command: str, server: ServerProcess) -> None:
    typed = command.partition("  # ")[0]
    assert "localhost:8000" in typed
    done_here(typed.replace("localhost:8000", server.http.removeprefix("http://")))


@pytest.mark.parametrize("command", dict.fromkeys(ELSEWHERE))
def test_a_command_that_needs_more_says_what_and_names_files_that_are_there(command: str) -> None:
    typed, _, needs = command.partition("  # needs ")

    assert needs in {"a cluster", "docker", "a server", "a terminal of its own", "root", "systemd"}
    for word in shlex.split(typed):
        if word.startswith(("deploy/", "config/", "requirements/")):
            assert (ROOT / word).exists(), word


def triton(mount: Path) -> None:
    versioned(mount)
    (mount / "config.pbtxt").write_text('name: "theirs"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 4\n')


@pytest.mark.parametrize("layout", [bare, versioned, triton])
async def test_kserves_runtime_serves_what_was_mounted_and_its_clients_find_it(
    tmp_path: Path, layout: Callable[[Path], None]
) -> None:
    mount = tmp_path / "models"
    layout(mount)
    (container,) = the(KSERVE / "clusterservingruntime.yaml", "ClusterServingRuntime")["spec"]["containers"]
    # Where the models are and how long it lingers is the test's; the rest is as KServe would have it.
    arguments = [
        argument.replace("{{.Name}}", "resnet")
        for argument in container["args"][1:]
        if not argument.startswith(("--model-repository", "--drain-linger", "--log-format"))
    ]
    environment = {variable["name"]: "2" for variable in container["env"]}
    with server_process(mount, tmp_path / "state", *arguments, **environment) as server:
        found = await ask_with_kserve(server.http, server.grpc, "resnet")
        assert server.terminate() == 0

    output = ["y", "FP32", [1, 4], [2.0, 3.0, 4.0, 5.0]]
    answered = {"ready": True, "infer": {"id": "seven", "model_name": "resnet", "output": output}}
    assert found == {"HTTP": answered, "gRPC": answered}


async def test_a_model_that_does_not_load_keeps_kserves_pod_from_being_ready(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "model.onnx").write_bytes(b"not a graph")
    with server_process(
        mount, tmp_path / "state", "--single-model-name=resnet", "--strict-readiness"
    ) as server:
        async with aiohttp.ClientSession() as session:

            async def started() -> bool:
                async with session.get(f"{server.http}/v2/health/started") as answer:
                    return answer.status == 200

            await until(started)
            async with session.get(f"{server.http}/v2/health/ready") as answer:
                assert answer.status == 503
                assert "model 'resnet' does not serve" in (await answer.json())["error"]


async def test_several_workers_are_one_replica_with_one_model(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    (mount / "1").mkdir(parents=True)
    (mount / "1" / "model.onnx").write_bytes(add_one())
    (mount / "config.pbtxt").write_text('name: "theirs"\nbackend: "onnxruntime"\nmax_batch_size: 4\n')
    arguments = ("--single-model-name=resnet", "--ready-models=resnet", "--identity-pod=pod-1", "--workers=2")
    with server_process(mount, tmp_path / "state", *arguments) as server:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                async with session.get(f"{server.http}/v2/health/ready") as answer:
                    return answer.status == 200

            await until(ready)
            headers = {"x-onnxd-timing": "1"}
            async with session.post(
                f"{server.http}/v2/models/resnet/infer", json=BODY, headers=headers
            ) as answer:
                assert answer.headers["x-onnxd-replica"] == "pod-1"
                content = answer.headers["x-onnxd-model-content"]
            async with session.get(f"{server.http}/metrics") as answer:
                scrape = Scrape.of(await answer.text())
        assert scrape.value("onnxd_identity_info", pod="pod-1") == 1
        assert scrape.value("onnxd_model_info", model="resnet", content=content) == 1
        assert server.terminate() == 0
