"""What disks and people do to a repository in service, and that nobody who asks it notices."""

import ast
import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from onnxd.errors import ModelNotFound
from onnxd.messages import InferRequest
from onnxd.repository.watcher import WatchConfig
from tests.support import graphs
from tests.support.files import put
from tests.support.graphs import add_one, row_constant, slow_always, two_inputs
from tests.support.one_model import BATCHED, answer, scanned_again, until_answer
from tests.support.server import ROOT, RunningServer, publish, running_server
from tests.support.spies import count_sessions, count_trials
from tests.support.until import until

STEPS: Final = 20_000

ROWS: Final[dict[str, tuple[str, ...]]] = {
    "half-written file": (
        "lifecycle/test_reload_faults.py::test_a_file_that_is_written_slowly_over_one_in_service_is_one_reload",
        "unit/repository/test_watcher.py::test_a_file_that_is_written_slowly_is_told_once_it_is_whole",
    ),
    "atomic rename": (
        "lifecycle/test_reload_under_traffic.py::test_two_hundred_reloads_fail_no_request_and_mix_no_versions",
    ),
    "editor temp files": (
        "unit/repository/test_layout.py::test_what_editors_and_copiers_leave_behind_changes_nothing",
    ),
    "ConfigMap swap": (
        "lifecycle/test_reload_faults.py::test_swaps_of_a_kubernetes_volume_never_mix_a_config_and_a_graph",
        "unit/repository/test_watcher.py::"
        "test_what_is_written_behind_a_swapped_link_of_a_kubernetes_volume_is_noticed",
    ),
    # Of subPath the kubelet tells nobody anything; docs/reload.md says what to do instead.
    "subPath": ("unit/repository/test_reload_page.py::test_the_page_says_that_subpath_is_never_updated",),
    "root link swap": (
        "lifecycle/test_reload_faults.py::test_a_repository_that_is_swapped_as_a_whole_reloads_what_differs",
    ),
    # A queue of notices that overflows loses notices, and none is relied upon: the scan comes anyway.
    "inotify limits": (
        "unit/repository/test_watcher.py::test_without_kernel_watches_the_scans_go_on_with_one_warning",
        "unit/repository/test_watcher.py::test_polling_alone_sees_every_change",
    ),
    "network file systems": (
        "unit/repository/test_layout.py::test_what_cannot_be_read_is_a_fault_and_not_an_absence",
        "unit/repository/test_settle.py::test_a_repository_that_cannot_be_read_removes_nothing",
    ),
    "two files in either order": (
        "lifecycle/test_reload_faults.py::test_a_config_and_a_graph_that_come_apart_serve_when_both_are_there",
        "lifecycle/test_manifests.py::test_a_config_and_a_graph_that_belong_together_come_together",
    ),
    "directory deleted": (
        "lifecycle/test_reload_faults.py::test_requests_in_flight_finish_when_their_models_directory_goes",
        "unit/repository/test_settle.py::test_a_removal_counts_on_the_second_scan",
    ),
    "root missing or empty": (
        "lifecycle/test_reload_faults.py::test_a_repository_that_goes_away_or_empty_keeps_serving",
        "unit/repository/test_settle.py::test_an_empty_repository_removes_nothing_however_long_it_stays_so",
    ),
    "more than half gone": (
        "unit/repository/test_settle.py::test_the_removal_of_more_than_half_waits_for_two_further_scans",
    ),
    "bad new version": (
        "lifecycle/test_reload_faults.py::test_bad_files_are_tried_once_and_fail_no_request",
    ),
    "new version is wrong": (
        "lifecycle/test_golden.py::"
        "test_a_version_that_answers_something_else_is_refused_and_the_old_one_serves",
    ),
    "roll back": (
        "lifecycle/test_rollback.py::test_what_was_overwritten_serves_again_without_its_files",
        "lifecycle/test_rollback.py::test_no_request_fails_while_a_model_goes_back_and_forth",
    ),
    "time goes backwards": (
        "unit/repository/test_layout.py::test_a_time_that_goes_backwards_changes_the_key",
    ),
    "version directories": (
        "unit/repository/test_layout.py::"
        "test_a_directory_that_looks_like_a_number_but_is_no_version_is_warned_of",
        "unit/repository/test_layout.py::test_the_highest_version_fits_63_bits",
    ),
    "case twins": (
        "unit/repository/test_layout.py::test_names_that_differ_in_case_only_are_faults_of_both",
        "unit/repository/test_layout.py::test_a_name_that_no_client_could_ask_for_is_not_a_model",
    ),
    "disk full": (
        "unit/repository/test_store.py::test_a_full_disk_is_named_and_leaves_nothing_half_copied",
        "unit/repository/test_store_history.py::test_a_full_disk_gives_up_what_served_before_and_then_fails",
    ),
    "restarted mid-load": (
        "unit/repository/test_store.py::"
        "test_what_a_server_that_died_left_behind_is_removed_at_the_next_start",
    ),
    "load while polling": (
        "contract/test_repository_control.py::test_S3_many_loads_and_unloads_at_once_end_as_the_last_one_says",
    ),
    "clock jump": (
        "unit/repository/test_settle.py::test_a_wall_clock_that_jumps_neither_hurries_nor_holds_up",
    ),
}
"""What can happen to a repository while it serves, and the tests of it."""


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_has_its_tests(row: str) -> None:
    for test in ROWS[row]:
        file, _, name = test.partition("::")
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        tree = ast.parse((ROOT / "tests" / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, functions)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(tmp_path / "models", "one", 1, row_constant(1), BATCHED)
    publish(tmp_path / "models", "two", 1, row_constant(2), BATCHED)
    return tmp_path / "models"


@pytest.fixture
async def server(repository: Path, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(repository, tmp_path / "state") as running:
        yield running


@dataclass(slots=True)
class Traffic:
    """What came of the requests so far."""

    answers: list[int] = field(default_factory=list)

    async def more(self) -> None:
        """Wait for an answer to come."""
        before = len(self.answers)
        await until(lambda: len(self.answers) > before)


@asynccontextmanager
async def traffic(server: RunningServer, model: str = "one") -> AsyncIterator[Traffic]:
    """Requests without a pause while the body runs; the first that fails fails the test."""
    over = asyncio.Event()
    seen = Traffic()

    async def ask() -> None:
        while not over.is_set():
            seen.answers.append(await answer(server, model=model))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(ask())
        yield seen
        await seen.more()
        over.set()


async def test_a_file_that_is_written_slowly_over_one_in_service_is_one_reload(
    repository: Path, tmp_path: Path
) -> None:
    graph = row_constant(7)
    watch = WatchConfig(scan_interval=0.05, settle=2.0)
    async with running_server(repository, tmp_path / "state", watch=watch) as server:
        before = dict(server.server.lifecycle.loads)
        async with traffic(server) as seen:
            with (repository / "one/1/model.onnx").open("wb", buffering=0) as file:
                for place in range(0, len(graph), 16):
                    file.write(graph[place : place + 16])
                    await seen.more()
            await until_answer(server, 7)
        assert set(seen.answers) == {1, 7}
        assert server.server.lifecycle.loads == {**before, "success": before["success"] + 1}


async def test_swaps_of_a_kubernetes_volume_never_mix_a_config_and_a_graph(
    repository: Path, tmp_path: Path
) -> None:
    """As the kubelet does it: all files are links through ..data, which is replaced by a rename."""
    volume = repository / "volume"
    sets: list[tuple[str, bytes, set[str]]] = [
        (BATCHED + "inputs: [{name: x}]\n", add_one(), {"x"}),
        (BATCHED + "inputs: [{name: a}, {name: b}]\n", two_inputs(), {"a", "b"}),
    ]

    def swap(number: int) -> set[str]:
        config, graph, names = sets[number % 2]
        directory = volume / f"..2026_{number}"
        put(directory / "config.yaml", config.encode())
        put(directory / "model.onnx", graph)
        (volume / "..data.tmp").symlink_to(directory.name)
        (volume / "..data.tmp").rename(volume / "..data")
        if number:
            shutil.rmtree(volume / f"..2026_{number - 1}")
        else:
            for name in ("config.yaml", "model.onnx"):
                (volume / name).symlink_to(f"..data/{name}")
        return names

    swap(0)
    async with running_server(repository, tmp_path / "state") as server, traffic(server):
        for number in range(1, 11):
            await until(partial(takes, server, swap(number)))
        assert server.server.lifecycle.loads["failure"] == 0


def takes(server: RunningServer, names: set[str]) -> bool:
    return {tensor.name for tensor in server.server.inference.spec("volume", None).inputs} == names


async def test_a_repository_that_is_swapped_as_a_whole_reloads_what_differs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "green"
    shutil.copytree(repository, other)
    publish(other, "one", 1, row_constant(5), BATCHED)
    link = tmp_path / "current"
    link.symlink_to(repository)
    async with running_server(link, tmp_path / "state") as server:
        kept = server.server.inference.served("two", 1)
        sessions = count_sessions(monkeypatch)
        async with traffic(server, "two") as seen:
            for target, expected in ((other, 5), (repository, 1), (other, 5)):
                (tmp_path / "next").symlink_to(target)
                os.rename(tmp_path / "next", link)
                await until_answer(server, expected)
        assert set(seen.answers) == {2}
        assert server.server.inference.served("two", 1) is kept
        assert len(sessions) == 3


@pytest.mark.parametrize("first", ["config", "graph"])
async def test_a_config_and_a_graph_that_come_apart_serve_when_both_are_there(
    server: RunningServer, first: str
) -> None:
    steps: dict[str, Callable[[], object]] = {
        "config": lambda: put(
            server.repository / "one/config.yaml", (BATCHED + "inputs: [{name: a}, {name: b}]\n").encode()
        ),
        "graph": lambda: publish(server.repository, "one", 1, two_inputs()),
    }
    put(server.repository / "one/config.yaml", (BATCHED + "inputs: [{name: x}]\n").encode())
    await scanned_again(server)
    steps.pop(first)()
    await server.reason("one", 1)
    assert await answer(server) == 1
    steps.popitem()[1]()
    await until(lambda: len(server.server.inference.spec("one", None).inputs) == 2)


async def test_requests_in_flight_finish_when_their_models_directory_goes(server: RunningServer) -> None:
    publish(server.repository, "slow", 1, slow_always(STEPS))
    await server.ready("slow")
    inputs = {
        tensor.name: np.zeros([1 if size < 0 else size for size in tensor.shape], tensor.datatype.dtype)
        for tensor in server.server.inference.spec("slow", None).inputs
    }
    asked = [
        asyncio.ensure_future(server.server.inference.infer(InferRequest("slow", dict(inputs))))
        for _ in range(8)
    ]
    shutil.rmtree(server.repository / "slow")
    await server.gone("slow")
    assert [answer.model_version for answer in await asyncio.gather(*asked)] == [1] * 8
    with pytest.raises(ModelNotFound):
        server.server.inference.served("slow", None)


@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
async def test_a_repository_that_goes_away_or_empty_keeps_serving(
    repository: Path, tmp_path: Path, empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = 0
    watch = WatchConfig(scan_interval=0.02, settle=0.01)
    async with running_server(repository, tmp_path / "state", watch=watch) as server:
        from onnxd.repository import layout

        original = layout._scan_root

        def counted(*arguments: object) -> object:
            nonlocal scans
            scans += 1
            return original(*arguments)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(layout, "_scan_root", counted)
        sessions = count_sessions(monkeypatch)
        async with traffic(server) as seen:
            os.rename(repository, tmp_path / "away")
            if empty:
                os.mkdir(repository)
            gone_at = scans
            await until(lambda: scans > gone_at + 20)
            assert server.server.inference.ready
            assert [entry.name for entry in await server.server.lifecycle.index()] == ["one", "two"]
            if empty:
                os.rmdir(repository)
            os.rename(tmp_path / "away", repository)
            back_at = scans
            await until(lambda: scans > back_at + 20)
        assert set(seen.answers) == {1}
        assert sessions == []


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # its name may have 107 bytes at most
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


BAD: Final[dict[str, bytes | Callable[[Path], None]]] = {
    "empty": b"",
    "half": row_constant(9)[:-20],
    "random": bytes(range(256)) * 20,
    "text": b"not a model",
    "picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "pipe": a_pipe,
    "directory": a_directory,
    "socket": a_socket,
    "link-to-nothing": a_link_to_nothing,
    "newer-opset": graphs.future_opset(),
    "newer-ir": graphs.future_ir(),
    "unknown-op": graphs.unknown_op(),
    "other-inputs": graphs.two_inputs(),
    "fixed-rows": graphs.scalar(),
    "kills-its-process": graphs.deadly(),
    "a-type-nobody-can-send": graphs.float8(),
    "a-sequence": graphs.sequence_input(),
}


async def test_bad_files_are_tried_once_and_fail_no_request(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each published over the version in service, and beside it; and looked at again and again."""
    put(server.repository / "one/config.yaml", (BATCHED + "inputs: [{name: x, datatype: FP32}]\n").encode())
    await scanned_again(server)
    loads = server.server.lifecycle.loads
    async with traffic(server) as seen:
        for number, (name, bad) in enumerate(BAD.items(), start=2):
            failures = loads["failure"]
            draft = server.repository / "one" / f"{number}.tmp"
            draft.mkdir()
            if callable(bad):
                bad(draft / "model.onnx")
            else:
                (draft / "model.onnx").write_bytes(bad)
            draft.rename(server.repository / "one" / str(number))
            assert await server.reason("one", number), name
            shutil.rmtree(server.repository / "one" / str(number))
            await until(partial(is_unknown, server, number))
            assert loads["failure"] == failures + 1, name
        failures = loads["failure"] + 1
        publish(server.repository, "one", 1, b"broken")
        # Not the first reason: files that were seen while they changed are tried again, and do not count.
        await until(lambda: loads["failure"] == failures)
        trials = count_trials(monkeypatch)
        for _ in range(3):
            await scanned_again(server)
        assert loads["failure"] == failures
        assert len(trials) == 3 * 2  # of the marker alone
    assert set(seen.answers) == {1}


async def is_unknown(server: RunningServer, version: int) -> bool:
    return all(
        entry.version != version for entry in await server.server.lifecycle.index() if entry.name == "one"
    )
