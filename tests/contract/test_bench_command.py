"""`onnxd bench` against a running server: what was counted, not how fast it was."""

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from onnxd.cli.load_loops import poisson
from onnxd.cli.main import cli
from tests.support.graphs import gather, identity
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("bench")
    publish(root / "models", "one", 1, identity(), "max_batch_size: 8\n")
    publish(root / "models", "lookup", 1, gather())
    async with running_server(root / "models", root / "state") as running:
        yield running


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, ["bench", *arguments])


@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_a_closed_loop_counts_every_request_on_both_sides(
    server: RunningServer, scheme: str, tmp_path: Path
) -> None:
    url = server.http if scheme == "http" else f"grpc://{server.grpc}"
    file = tmp_path / "found.json"
    shown = await run(
        "one", "--url", url, "--concurrency", "1,4", "--requests", "20", "--rows", "2", "--json", str(file)
    )
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].split()[:6] == ["LOAD", "REQUESTS/S", "P50", "P90", "P99", "MAX"]
    assert any(line.startswith("note: inputs are made up: 256 different requests") for line in lines)
    assert any("shared the" in line for line in lines)
    document = json.loads(file.read_bytes())
    assert [level["load"] for level in document["levels"]] == ["1 at a time", "4 at a time"]
    for level in document["levels"]:
        assert level["answered"] == 20
        assert level["server"]["requests"] == 20
        assert level["rows_s"] == pytest.approx(2 * level["requests_s"])
        assert level["latency"]["p50_s"] <= level["latency"]["p99_s"] <= level["latency"]["max_s"]
        assert level["client"]["cpu_share"] > 0
    assert document["levels"][0]["server"]["batch_mean_rows"] == 2.0


async def test_an_open_loop_sends_what_is_due_and_draws_it(server: RunningServer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot, file = tmp_path / "one.svg", tmp_path / "one.json"
    arguments = ("--rate", "200", "--duration", "0.2", "--plot", str(plot), "--json", str(file))
    shown = await run("one", "--url", server.http, *arguments)
    assert shown.exit_code == 0, shown.output
    (level,) = json.loads(file.read_bytes())["levels"]
    due = list(itertools.takewhile(lambda at: at < 0.2, itertools.accumulate(poisson(200.0, Random(0)))))
    assert level["answered"] + level["unsent"] == len(due) > 20
    assert level["client"]["sent_late_p99_s"] is not None
    assert b"<svg" in plot.read_bytes()


async def test_inputs_are_made_up_until_the_model_takes_them(server: RunningServer) -> None:
    shown = await run("lookup", "--url", server.http, "--requests", "3", "--concurrency", "1")
    assert shown.exit_code == 0, shown.output
    batched = await run("lookup", "--url", server.http, "--rows", "2")
    assert (batched.exit_code, "takes no batches" in batched.output) == (2, True), batched.output


async def test_given_inputs_are_sent_as_they_are(server: RunningServer) -> None:
    shown = await run(
        "one",
        "--url",
        server.http,
        "--input",
        "[[1,2,3,4],[5,6,7,8]]",
        "--requests",
        "3",
        "--concurrency",
        "1",
    )
    assert shown.exit_code == 0, shown.output
    assert "rows a second (2 a request)" in shown.output
    assert "every request is the same" in shown.output


async def test_errors_are_counted_by_kind(server: RunningServer) -> None:
    arguments = ("--concurrency", "1", "--requests", "2", "--deadline", "0.001")
    shown = await run("one", "--url", server.http, *arguments)
    assert shown.exit_code in (0, 1)
    assert shown.exit_code == 0 or "times DeadlineExceeded" in shown.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("one", "--concurrency", "1", "--rate", "1"), "give --concurrency or --rate"),
        (("one", "--concurrency", "0"), "expected numbers from 1 to 1024"),
        (("one", "--rate", "nan"), "expected requests a second"),
        (("one", "--concurrency", ",".join("1" * 17)), "at most 16 levels"),
        (("one", "--plot", "x.txt"), "ends in one of .png, .svg, .pdf"),
        (("one", "--rows", "2", "--input", "[1,2,3,4]"), "--rows is for inputs that are made up"),
        (("one", "--input", "[1,2]"), "does not fit"),
        (("none",), "unknown model 'none'"),
    ],
)
async def test_a_mistake_is_told_before_anything_is_measured(
    server: RunningServer, arguments: tuple[str, ...], text: str
) -> None:
    shown = await run(*arguments, "--url", server.http)
    assert shown.exit_code in (1, 2)
    assert text in shown.output


async def test_without_matplotlib_it_says_what_to_install(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shown = await run("one", "--url", server.http, "--plot", "x.png")
    assert shown.exit_code == 2
    assert "pip install 'onnxd[plot]'" in shown.output


async def test_a_server_that_is_not_there_is_told_in_a_line() -> None:
    shown = await run("one", "--url", "http://127.0.0.1:1")
    assert (shown.exit_code, "no server answers" in shown.output) == (1, True)
