"""The placement report of a running server: profiled when it is asked for, beside what serves."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from onnxd.cli.main import cli
from onnxd.messages import InferRequest
from onnxd_client import AsyncClient, InvalidRequest, NotFound
from tests.support.graphs import in_pairs, mlp
from tests.support.server import RunningServer, publish, running_server


def profiles() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("onnxd-profile-*"))


async def get(server: RunningServer, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.http, timeout=60) as http:
        return await http.get(f"/v2/models/{path}/placement")


async def test_a_report_says_where_the_nodes_run_and_what_they_take(tmp_path: Path) -> None:
    publish(tmp_path / "models", "mlp", 1, mlp(), "max_batch_size: 8\n")
    publish(tmp_path / "models", "mlp", 2, mlp(), "max_batch_size: 8\n")
    before = profiles()
    async with running_server(tmp_path / "models", tmp_path / "state") as server:
        answer = await get(server, "mlp")
        report = answer.json()
        assert (report["model_name"], report["model_version"]) == ("mlp", "2")
        assert report["session_providers"] == ["CPUExecutionProvider"]
        assert [row["provider"] for row in report["providers"]] == ["CPUExecutionProvider"]
        assert report["nodes"][0]["share"] >= report["nodes"][-1]["share"] > 0
        assert (await get(server, "mlp/versions/2")).json() == report  # as it was measured the first time
        assert (await get(server, "mlp/versions/9")).status_code == 404
        assert (await get(server, "nobody")).status_code == 404
    assert profiles() == before


async def test_others_are_told_to_come_back_while_one_is_made(tmp_path: Path) -> None:
    for name in ("one", "two"):
        publish(tmp_path / "models", name, 1, mlp())
    async with running_server(tmp_path / "models", tmp_path / "state") as server:
        answers = await asyncio.gather(*(get(server, name) for name in ("one", "two") * 3))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(200) == 1
        assert statuses.count(503) == 5
        assert int(next(a for a in answers if a.status_code == 503).headers["retry-after"]) >= 1
        assert (await get(server, "two")).status_code == 200
        request = InferRequest("one", {"x": np.zeros((1, 784), np.float32)})
        assert (await server.server.inference.infer(request)).outputs["y"].shape == (1, 10)


async def test_a_model_that_cannot_be_run_on_made_up_inputs_says_what_to_do(tmp_path: Path) -> None:
    config = "providers: [NoSuchProvider, CPUExecutionProvider]\nprovider_fallback: next\n"
    publish(tmp_path / "models", "mlp", 1, mlp((4, 4), 1), config)
    publish(tmp_path / "models", "pairs", 1, in_pairs())
    async with running_server(tmp_path / "models", tmp_path / "state") as server:
        async with AsyncClient(server.http) as client:
            with pytest.raises(InvalidRequest, match=r"on made-up inputs failed.*warmup\.samples"):
                await client.placement("pairs")
            with pytest.raises(NotFound):
                await client.placement("mlp", 7)
            assert (await client.placement("mlp"))["runs"] >= 1
        async with AsyncClient(f"grpc://{server.grpc}") as client:
            with pytest.raises(InvalidRequest, match="over HTTP only"):
                await client.placement("mlp")


async def test_the_command_shows_it(tmp_path: Path) -> None:
    publish(tmp_path / "models", "mlp", 1, mlp())
    async with running_server(tmp_path / "models", tmp_path / "state") as server:

        async def run(*arguments: str) -> Any:
            return await asyncio.to_thread(
                CliRunner().invoke, cli, ["placement", "mlp", *arguments, "--url", server.http]
            )

        shown = await run()
        assert shown.exit_code == 0, shown.output
        assert shown.stdout.startswith("mlp version 1: ")
        assert "CPUExecutionProvider" in shown.stdout
        assert "Gemm" in shown.stdout
        assert json.loads((await run("--json")).stdout)["model_name"] == "mlp"
        assert (await run("--version", "9")).exit_code == 1
