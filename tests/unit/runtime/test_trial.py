"""First runs in a child process: its answers, its deaths, its reuse and its end. Real children."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.blank import Blank
from onnxd.runtime.examination_names import INDEPENDENCE
from onnxd.runtime.made_up import RowInput
from onnxd.runtime.row_inquiry import RowQuestion, question_to_json
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial import TrialLimits, TrialRoom
from onnxd.runtime.trial_messages import DIED, TrialReport, TrialRequest
from onnxd.tensors import Datatype
from tests.support import graphs
from tests.support.counterexamples import deadly_but_for_zeros

CPU_ONLY = SessionConfig()
FOR_EVER = 10**9


@pytest.fixture
async def room() -> AsyncIterator[TrialRoom]:
    async with TrialRoom() as room:
        yield room


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path, graphs.add_one())


def saved(folder: Path, model: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model)
    return path


def remove(path: Path) -> None:
    path.unlink()


async def ended(pid: int) -> None:
    """Returns once the process has ended; works for processes that are not ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(20):
            await readable.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def test_an_inspection_says_what_the_graph_declares(room: TrialRoom, model: Path) -> None:
    graph = await room.inspect(model, CPU_ONLY)
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in graph.inputs] == [
        ("x", Datatype.FP32, (-1, 4))
    ]


async def test_a_rehearsal_reports_graph_provider_times_and_memory(room: TrialRoom, model: Path) -> None:
    warmup = ({"x": Blank(Datatype.FP32, (1, 4))}, {"x": Blank(Datatype.FP32, (-1, 4))})
    report = await room.rehearse(TrialRequest(model, CPU_ONLY, threads=1, warmup=warmup))
    assert report.providers == ("CPUExecutionProvider",)
    assert [tensor.name for tensor in report.graph.outputs] == ["y"]
    assert len(report.run_times_s) == 2
    assert all(0 < seconds < 1 for seconds in report.run_times_s)
    assert report.peak_bytes > 0
    assert report.load_s > 0


async def test_without_a_warm_up_one_run_is_guessed(room: TrialRoom, model: Path) -> None:
    report = await room.rehearse(TrialRequest(model, CPU_ONLY))
    assert len(report.run_times_s) == 1
    assert report.guess_failure == ""


async def test_a_guessed_run_may_fail_cleanly(room: TrialRoom, tmp_path: Path) -> None:
    report = await room.rehearse(TrialRequest(saved(tmp_path, graphs.int_div()), CPU_ONLY))
    assert report.run_times_s == ()
    assert "Integer division by zero" in report.guess_failure


async def test_a_given_run_must_succeed(room: TrialRoom, model: Path) -> None:
    warmup = ({"x": Blank(Datatype.FP32, (1, 4))}, {"x": Blank(Datatype.FP32, (1, 5))})
    with pytest.raises(LoadFailed, match=r"warm-up run 2 \(x \[1, 5\]\) failed: .*Got: 5 Expected: 4"):
        await room.rehearse(TrialRequest(model, CPU_ONLY, warmup=warmup))


@pytest.mark.parametrize("datatype", [Datatype.BYTES, Datatype.BF16, Datatype.BOOL])
async def test_blank_inputs_exist_for_unusual_datatypes(
    room: TrialRoom, tmp_path: Path, datatype: Datatype
) -> None:
    report = await room.rehearse(TrialRequest(saved(tmp_path, graphs.identity(datatype)), CPU_ONLY))
    assert report.guess_failure == ""


async def test_a_file_that_does_not_load_is_refused_with_its_reason(room: TrialRoom, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="NoSuchOperator") as raised:
        await room.inspect(saved(tmp_path, graphs.unknown_op()), CPU_ONLY)
    assert str(tmp_path) not in raised.value.message


@pytest.mark.parametrize("datatype", [Datatype.INT32, Datatype.INT64])
async def test_a_crash_is_a_refusal_that_says_when(
    room: TrialRoom, tmp_path: Path, datatype: Datatype
) -> None:
    with pytest.raises(LoadFailed, match=r"model\.onnx: .*signal 8 \(SIGFPE\) while running the warm-up"):
        await room.rehearse(TrialRequest(saved(tmp_path, graphs.deadly(datatype)), CPU_ONLY))
    good = saved(tmp_path, graphs.add_one())
    assert (await room.rehearse(TrialRequest(good, CPU_ONLY))).run_times_s


async def test_a_session_over_the_memory_limit_is_refused(tmp_path: Path) -> None:
    async with TrialRoom(TrialLimits(memory=64 * 2**20)) as room:
        with pytest.raises(LoadFailed, match="ran out of its memory limit of 64 MiB"):
            await room.inspect(saved(tmp_path, graphs.big(48)), CPU_ONLY)
        assert (await room.inspect(saved(tmp_path, graphs.add_one()), CPU_ONLY)).inputs


async def test_a_run_over_the_memory_limit_is_refused(tmp_path: Path) -> None:
    async with TrialRoom(TrialLimits(memory=256 * 2**20)) as room:
        path = saved(tmp_path, graphs.identity(dims=("n",)))
        warmup = ({"x": Blank(Datatype.FP32, (2**25,))},)  # 128 MiB in and as much out
        with pytest.raises(LoadFailed, match="ran out of its memory limit of 256 MiB"):
            await room.rehearse(TrialRequest(path, CPU_ONLY, warmup=warmup))


@pytest.mark.slow
async def test_a_run_over_the_cpu_limit_is_refused(tmp_path: Path) -> None:
    async with TrialRoom(TrialLimits(cpu=0.2)) as room:
        path = saved(tmp_path, graphs.slow_always(FOR_EVER))
        with pytest.raises(LoadFailed, match=r"more than its limit of 0\.2 s of CPU time while running"):
            await room.rehearse(TrialRequest(path, CPU_ONLY))


async def test_a_run_over_the_wall_limit_is_refused(tmp_path: Path) -> None:
    async with TrialRoom(TrialLimits(wall=0.3)) as room:
        path = saved(tmp_path, graphs.slow_always(FOR_EVER))
        with pytest.raises(LoadFailed, match=r"took longer than the limit of 0\.3 s"):
            await room.rehearse(TrialRequest(path, CPU_ONLY))
        assert not room.pids


ROWS = {
    INDEPENDENCE: question_to_json(
        RowQuestion((RowInput("x", Datatype.INT64, (4,)),), {"y": Datatype.INT64}, max_rows=8)
    )
}


async def test_an_examination_is_answered_in_the_report(room: TrialRoom, tmp_path: Path) -> None:
    path = saved(tmp_path, graphs.identity(Datatype.INT64))
    report = await room.rehearse(TrialRequest(path, CPU_ONLY, examinations=ROWS))
    assert report.findings[INDEPENDENCE]["outcome"] == "proven"


async def test_an_examination_that_kills_the_child_is_a_finding_and_no_refusal(
    room: TrialRoom, tmp_path: Path
) -> None:
    path = saved(tmp_path, deadly_but_for_zeros())
    report = await room.rehearse(TrialRequest(path, CPU_ONLY, examinations=ROWS))
    assert len(report.run_times_s) == 1
    assert "killed by signal" in report.findings[INDEPENDENCE][DIED]
    assert report.findings[INDEPENDENCE][DIED].endswith("while examining its independence")


async def test_a_child_is_used_again(room: TrialRoom, model: Path) -> None:
    await room.inspect(model, CPU_ONLY)
    first = room.pids
    await room.rehearse(TrialRequest(model, CPU_ONLY))
    await room.rehearse(TrialRequest(model, SessionConfig(graph_optimization="disable")))
    assert len(first) == 1
    assert room.pids == first


async def test_a_rehearsal_after_an_inspection_builds_nothing_again(room: TrialRoom, model: Path) -> None:
    await room.inspect(model, CPU_ONLY, threads=1)
    remove(model)
    assert (await room.rehearse(TrialRequest(model, CPU_ONLY, threads=1))).run_times_s
    with pytest.raises(LoadFailed, match="No such file"):
        await room.rehearse(TrialRequest(model, CPU_ONLY, threads=1))


async def test_a_child_is_replaced_after_a_refusal(room: TrialRoom, model: Path, tmp_path: Path) -> None:
    await room.inspect(model, CPU_ONLY)
    first = room.pids
    (tmp_path / "broken.onnx").write_bytes(b"text")
    with pytest.raises(LoadFailed):
        await room.inspect(tmp_path / "broken.onnx", CPU_ONLY)
    assert not room.pids
    await room.inspect(model, CPU_ONLY)
    assert room.pids.isdisjoint(first)


async def test_a_child_that_died_while_idle_costs_nobody_a_trial(room: TrialRoom, model: Path) -> None:
    await room.inspect(model, CPU_ONLY)
    (pid,) = room.pids
    os.kill(pid, signal.SIGKILL)
    assert (await room.rehearse(TrialRequest(model, CPU_ONLY))).run_times_s
    assert pid not in room.pids


async def test_no_more_children_than_allowed(model: Path) -> None:
    async with TrialRoom(parallel=1) as room, asyncio.TaskGroup() as group:
        trials = [group.create_task(room.rehearse(TrialRequest(model, CPU_ONLY))) for _ in range(3)]
    assert all(isinstance(trial.result(), TrialReport) for trial in trials)


async def test_an_idle_child_ends_by_itself(model: Path) -> None:
    async with TrialRoom(idle_s=0.0) as room:
        await room.inspect(model, CPU_ONLY)
        (pid,) = room.pids
        await ended(pid)


async def test_a_cancelled_trial_leaves_no_child_behind(room: TrialRoom, tmp_path: Path) -> None:
    path = saved(tmp_path, graphs.slow_always(FOR_EVER))
    await room.inspect(path, CPU_ONLY)
    (pid,) = room.pids
    trial = asyncio.ensure_future(room.rehearse(TrialRequest(path, CPU_ONLY)))
    await asyncio.wait([trial], timeout=0.05)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    await ended(pid)
    assert (await room.inspect(saved(tmp_path, graphs.add_one()), CPU_ONLY)).inputs


async def test_leaving_the_room_ends_every_child(model: Path) -> None:
    async with TrialRoom() as room:
        await room.inspect(model, CPU_ONLY)
        (pid,) = room.pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_leaving_the_room_ends_a_trial_under_way(tmp_path: Path) -> None:
    path = saved(tmp_path, graphs.slow_always(FOR_EVER))
    async with TrialRoom(parallel=1) as room:
        await room.inspect(path, CPU_ONLY)
        trials = [asyncio.ensure_future(room.rehearse(TrialRequest(path, CPU_ONLY))) for _ in range(2)]
        await asyncio.wait(trials, timeout=0.05)
    under_way, waiting = await asyncio.gather(*trials, return_exceptions=True)
    assert isinstance(under_way, LoadFailed)
    assert isinstance(waiting, LoadFailed)
    assert "shutting down" in waiting.message
    assert not room.pids


PARENT = """
    import asyncio, sys
    from pathlib import Path
    from onnxd.runtime.session_config import SessionConfig
    from onnxd.runtime.trial import TrialRoom
    from onnxd.runtime.trial_messages import TrialRequest

    async def main() -> None:
        path = Path(sys.argv[1])
        async with TrialRoom(idle_s=600.0) as room:
            await room.inspect(path, SessionConfig())
            print(*room.pids, flush=True)
            if sys.argv[2] == "running":
                await room.rehearse(TrialRequest(path, SessionConfig()))
            await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "running"])
async def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path, state: str) -> None:
    path = saved(tmp_path, graphs.slow_always(FOR_EVER))
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(PARENT), str(path), state, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()
    await ended(child)


async def test_a_warm_up_that_no_memory_holds_is_out_of_memory(room: TrialRoom, model: Path) -> None:
    warmup = ({"x": Blank(Datatype.FP32, (2**31 - 1, 2**31 - 1, 2**31 - 1))},)
    with pytest.raises(LoadFailed, match="it ran out of its memory limit of 4096 MiB"):
        await room.rehearse(TrialRequest(model, CPU_ONLY, threads=1, warmup=warmup))
