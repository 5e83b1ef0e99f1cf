"""`onnxd trace` and `onnxd completion`, against a running server."""

import asyncio
import json
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from onnxd.telemetry.recent import RecentConfig
from onnxd_client import AsyncClient, InvalidRequest
from tests.support.graphs import identity
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("trace")
    for model in ("one", "other"):
        publish(root / "models", model, 1, identity(), "max_batch_size: 8\n")
    async with running_server(root / "models", root / "state", recent=RecentConfig(slow=0.0)) as running:
        async with AsyncClient(running.http) as client:
            await client.infer("one", {"x": np.ones((2, 4), np.float32)}, id="r-1")
            with pytest.raises(InvalidRequest):
                await client.infer("one", {"x": np.ones((2, 3), np.float32)}, id="r-2")
            headers = {"x-request-id": "from-outside"}
            await client.infer("other", {"x": np.ones((1, 4), np.float32)}, headers=headers)
        yield running


async def run(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=environment)


async def test_a_request_is_shown_with_its_stages_and_its_batch(server: RunningServer) -> None:
    shown = await run("trace", "r-1", "--url", server.http)
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("one version 1: POST /v2/models/{model}/infer, 200, ")
    assert "id r-1" in lines
    assert [line.split()[0] for line in lines if "|" in line] == [
        "decode",
        "queue",
        "execute",
        "run",
        "encode",
    ]
    assert any(line.startswith("batch 1: 2 rows of 1 requests, cut: ") for line in lines)


async def test_one_that_failed_and_one_with_a_header_are_found_among_all_models(
    server: RunningServer,
) -> None:
    failed = await run("trace", "r-2", "--url", server.http)
    assert "error " in failed.output
    assert ", 400, " in failed.output
    shown = await run("trace", "from-outside", "--url", server.http, "--json")
    (document,) = json.loads(shown.output)
    assert (document["model"], document["id"]) == ("other", "from-outside")


async def test_what_is_not_kept_is_said_with_how_to_have_it_kept(server: RunningServer) -> None:
    shown = await run("trace", "nobody", "--url", server.http)
    assert shown.exit_code == 1
    assert "no request 'nobody' is kept (3 of 2 models are)" in shown.output
    assert "--recent-slow 0s" in shown.output
    assert "x-onnxd-timing" in shown.output
    unknown = await run("trace", "r-1", "none", "--url", server.http)
    assert (unknown.exit_code, "no model 'none'" in unknown.output) == (1, True)
    over_grpc = await run("trace", "r-1", "one", "--url", f"grpc://{server.grpc}")
    assert (over_grpc.exit_code, "http:// address" in over_grpc.output) == (1, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_every_shell_is_given_what_completes(shell: str) -> None:
    shown = await run("completion", shell)
    assert shown.exit_code == 0
    assert "_ONNXD_COMPLETE" in shown.output


async def test_names_of_models_are_completed_and_nothing_is_said_without_a_server(
    server: RunningServer,
) -> None:
    def asking(words: str, url: str) -> dict[str, str]:
        return {"_ONNXD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "2", "ONNXD_URL": url}

    def completed(environment: dict[str, str]) -> Result:
        return CliRunner().invoke(cli, [], env=environment, prog_name="onnxd", complete_var="_ONNXD_COMPLETE")

    shown = await asyncio.to_thread(completed, asking("onnxd infer o", server.http))
    assert shown.output.split() == ["plain,one", "plain,other"]
    nothing = await asyncio.to_thread(completed, asking("onnxd infer o", "http://127.0.0.1:1"))
    assert (nothing.output.strip(), nothing.exit_code) == ("", 0)
