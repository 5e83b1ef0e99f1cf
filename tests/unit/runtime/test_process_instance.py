"""An instance in a process of its own: its answers, its deaths, and its end. Real children."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from onnxd.errors import (
    ExecutionFailed,
    LoadFailed,
    ModelProcessDied,
    ModelUnavailable,
    TensorMismatch,
)
from onnxd.runtime.blank import Blank, WarmupRun
from onnxd.runtime.deaths import MOST, Deaths
from onnxd.runtime.instance import RunOutcome
from onnxd.runtime.placement import Placement
from onnxd.runtime.process_instance import ProcessInstance
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial_messages import TrialRequest
from onnxd.runtime.worker_config import IsolationConfig
from onnxd.runtime.worker_messages import WorkerLoad
from onnxd.scheduler.runner import Runner
from onnxd.tensors import Array, Datatype
from tests.support import graphs
from tests.support.children import has_ended
from tests.support.until import until

MIB = 2**20
SEVEN = {"a": np.array([7], np.int32), "b": np.array([2], np.int32)}
DEADLY = {"a": np.array([-(2**31)], np.int32), "b": np.array([-1], np.int32)}


@pytest.fixture
async def room() -> AsyncIterator[ProcessRoom]:
    async with ProcessRoom() as room:
        yield room


def load_of(folder: Path, graph: bytes, warmup: Sequence[WarmupRun] = ()) -> WorkerLoad:
    path = folder / "model.onnx"
    path.write_bytes(graph)
    return WorkerLoad(TrialRequest(path, SessionConfig(), 1, tuple(warmup)), (1,) * len(warmup))


def instance_of(room: ProcessRoom, load: WorkerLoad, deaths: Deaths | None = None) -> ProcessInstance:
    return ProcessInstance(room, load, deaths or Deaths(), name="m")


def begin(
    instance: ProcessInstance, inputs: Mapping[str, Array], outputs: tuple[str, ...] = ("y",)
) -> asyncio.Future[RunOutcome]:
    done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
    instance.start(inputs, outputs, done.set_result)
    return done


async def run(
    instance: ProcessInstance, inputs: Mapping[str, Array], outputs: tuple[str, ...] = ("y",)
) -> RunOutcome:
    async with asyncio.timeout(30):
        return await begin(instance, inputs, outputs)


async def answer(instance: ProcessInstance, inputs: Mapping[str, Array]) -> Array:
    outcome = await run(instance, inputs)
    assert outcome.error is None, outcome.error
    assert outcome.outputs is not None
    return outcome.outputs["y"]


def pid_of(room: ProcessRoom) -> int:
    (pid,) = room.pids
    return pid


async def test_a_model_runs_in_another_process(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.add_one())) as instance:
        outcome = await run(instance, {"x": np.zeros((2, 4), np.float32)})
        assert outcome.outputs is not None
        assert outcome.outputs["y"].tolist() == [[1.0] * 4] * 2
        assert 0 < outcome.start_ns <= outcome.end_ns
        assert instance.placement is Placement.PROCESS
        assert pid_of(room) != os.getpid()
        assert instance.broken == ""


async def test_it_fits_the_schedulers_seam(room: ProcessRoom, tmp_path: Path) -> None:
    runner: Runner = instance_of(room, load_of(tmp_path, graphs.add_one()))
    assert isinstance(runner, ProcessInstance)


@pytest.mark.parametrize("datatype", list(Datatype))
async def test_every_datatype_goes_there_and_back(
    room: ProcessRoom, tmp_path: Path, datatype: Datatype
) -> None:
    values = ["a", "", "€"] if datatype is Datatype.BYTES else [1, 0, 1]
    array = np.array(values, datatype.dtype)
    async with instance_of(room, load_of(tmp_path, graphs.identity(datatype, ("n",)))) as instance:
        back = await answer(instance, {"x": array})
        assert back.dtype == array.dtype
        assert back.tolist() == array.tolist()
        assert (await answer(instance, {"x": array[:0]})).shape == (0,)


@pytest.mark.parametrize("shape", [(), (0, 4), (3, 0), (1, 1, 1)], ids=str)
async def test_every_shape_goes_there_and_back(
    room: ProcessRoom, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    dims = tuple(f"d{axis}" for axis in range(len(shape)))
    async with instance_of(room, load_of(tmp_path, graphs.identity(dims=dims))) as instance:
        assert (await answer(instance, {"x": np.zeros(shape, np.float32)})).shape == shape


async def test_only_the_outputs_asked_for_come_back_in_their_order(room: ProcessRoom, tmp_path: Path) -> None:
    inputs = {"a": np.ones((1, 4), np.float32), "b": np.zeros((1, 4), np.float32)}
    async with instance_of(room, load_of(tmp_path, graphs.two_inputs())) as instance:
        for names in (("difference",), ("difference", "sum"), ("sum",)):
            outcome = await run(instance, inputs, names)
            assert tuple(outcome.outputs or ()) == names


async def test_batches_of_any_size_follow_each_other(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.identity(dims=("n",)))) as instance:
        for size in (1, 3 * MIB, 10, 20 * MIB, 0, 5):
            array = np.arange(size, dtype=np.float32)
            assert np.array_equal(await answer(instance, {"x": array}), array)


async def test_an_answer_stays_what_it_was_when_the_next_one_comes(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.identity(dims=("n",)))) as instance:
        first = await answer(instance, {"x": np.array([1, 2], np.float32)})
        await answer(instance, {"x": np.array([3, 4], np.float32)})
        assert first.tolist() == [1, 2]


async def test_the_loop_goes_on_while_a_run_lasts(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.slow())) as instance:
        running = begin(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(10**9)})
        for _ in range(20):
            await asyncio.sleep(0)
        assert not running.done()
        instance.terminate()
        assert isinstance((await running).error, ExecutionFailed)


async def test_a_run_that_is_ended_early_leaves_the_process_as_it_is(
    room: ProcessRoom, tmp_path: Path
) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.slow())) as instance:
        pid = pid_of(room)
        for _ in range(3):
            running = begin(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(10**9)})
            instance.terminate()
            error = (await running).error
            assert isinstance(error, ExecutionFailed)
            assert "ended before it had finished" in error.message
        assert (await run(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(1)})).error is None
        assert pid_of(room) == pid


async def test_terminate_while_idle_does_nothing(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.int_div())) as instance:
        instance.terminate()
        assert (await answer(instance, SEVEN)).tolist() == [3]
        instance.terminate()
        assert (await answer(instance, SEVEN)).tolist() == [3]


async def test_a_failure_of_the_run_is_an_outcome(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.int_div())) as instance:
        pid = pid_of(room)
        by_zero = await run(instance, {**SEVEN, "b": np.array([0], np.int32)})
        assert isinstance(by_zero.error, ExecutionFailed)
        assert "division by zero" in by_zero.error.message
        missing = await run(instance, {"a": SEVEN["a"]})
        assert isinstance(missing.error, TensorMismatch)
        assert (await answer(instance, SEVEN)).tolist() == [3]
        assert pid_of(room) == pid


async def test_text_that_is_none_is_the_requests_fault(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.identity(Datatype.BYTES, ("n",)))) as instance:
        outcome = await run(instance, {"x": np.array(["\udc80"], object)})
        assert isinstance(outcome.error, TensorMismatch)
        assert (await answer(instance, {"x": np.array(["a"], object)})).tolist() == ["a"]


async def test_the_request_that_kills_the_process_fails_and_the_next_is_answered(
    room: ProcessRoom, tmp_path: Path
) -> None:
    deaths = Deaths()
    async with instance_of(room, load_of(tmp_path, graphs.int_div()), deaths) as instance:
        pid = pid_of(room)
        outcome = await run(instance, DEADLY)
        assert isinstance(outcome.error, ModelProcessDied)
        assert "killed by signal 8 (SIGFPE) while it ran the batch of this request" in outcome.error.message
        assert (await answer(instance, SEVEN)).tolist() == [3]
        assert pid_of(room) != pid
    assert deaths.counts["SIGFPE"] == 1
    assert sum(deaths.counts.values()) == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT, signal.SIGBUS])
async def test_a_process_that_dies_while_idle_costs_nobody_a_request(
    room: ProcessRoom, tmp_path: Path, number: signal.Signals
) -> None:
    deaths = Deaths()
    async with instance_of(room, load_of(tmp_path, graphs.int_div()), deaths) as instance:
        pid = pid_of(room)
        os.kill(pid, number)
        await until(lambda: pid not in room.pids)
        assert (await answer(instance, SEVEN)).tolist() == [3]
    assert deaths.counts[number.name] == 1


async def test_a_process_that_is_killed_in_a_run_fails_that_run(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.slow())) as instance:
        running = begin(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(10**9)})
        os.kill(pid_of(room), signal.SIGSEGV)
        error = (await running).error
        assert isinstance(error, ModelProcessDied)
        assert "signal 11 (SIGSEGV)" in error.message


async def test_signals_for_the_whole_group_leave_the_end_to_the_server(
    room: ProcessRoom, tmp_path: Path
) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.int_div())) as instance:
        pid = pid_of(room)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert (await answer(instance, SEVEN)).tolist() == [3]
        assert pid_of(room) == pid


async def test_five_deaths_in_a_minute_are_enough(room: ProcessRoom, tmp_path: Path) -> None:
    deaths = Deaths()
    async with instance_of(room, load_of(tmp_path, graphs.int_div()), deaths) as instance:
        for _ in range(MOST):
            assert isinstance((await run(instance, DEADLY)).error, ModelProcessDied)
        assert "died 5 times within 60 s" in instance.broken
        refused = (await run(instance, SEVEN)).error
        assert isinstance(refused, ModelUnavailable)
        assert instance.broken in refused.message
        assert room.pids == frozenset()
    assert deaths.counts["SIGFPE"] == MOST


@pytest.mark.slow
async def test_a_run_that_waits_for_the_next_process_hears_that_there_is_none(
    room: ProcessRoom, tmp_path: Path
) -> None:
    load = load_of(tmp_path, graphs.int_div())
    async with instance_of(room, load) as instance:
        load.model.path.unlink()
        first = begin(instance, DEADLY)
        assert isinstance((await first).error, ModelProcessDied)
        waiting = (await run(instance, SEVEN)).error
        assert isinstance(waiting, ModelUnavailable)
        assert "No such file" in waiting.message


async def test_a_run_too_large_for_its_memory_fails_cleanly(tmp_path: Path) -> None:
    async with (
        ProcessRoom(IsolationConfig(memory=256 * MIB)) as room,
        instance_of(room, load_of(tmp_path, graphs.expand_to())) as instance,
    ):
        pid = pid_of(room)
        for elements in (2**28, 2**40, 2**62):  # 1 GiB, 4 TiB, more than there are addresses
            error = (await run(instance, {"x": np.array([elements])})).error
            assert isinstance(error, ModelUnavailable | ExecutionFailed | TensorMismatch)
            if elements < 2**62:
                assert isinstance(error, ModelUnavailable)
                assert "not enough memory" in error.message
        assert (await answer(instance, {"x": np.array([3])})).tolist() == [0, 0, 0]
        assert pid_of(room) == pid


@pytest.mark.parametrize("arena", [True, False], ids=["with an arena", "without"])
async def test_a_run_that_lacked_memory_leaves_all_of_it_to_the_next(tmp_path: Path, arena: bool) -> None:
    load = load_of(tmp_path, graphs.expand_to())
    session = SessionConfig(memory_arena=arena)
    async with (
        ProcessRoom(IsolationConfig(memory=350 * MIB)) as room,
        instance_of(room, replace(load, model=replace(load.model, session=session))) as instance,
    ):
        pid = pid_of(room)
        for elements in (50 * MIB, 2**40, 3, 70 * MIB, 3, 30 * MIB):
            outcome = await run(instance, {"x": np.array([elements])})
            if outcome.error is not None:
                assert isinstance(outcome.error, ModelUnavailable)
                assert elements >= 50 * MIB
        # What an arena keeps of the last run may be too much for this one, and then it is given up.
        last = [(await run(instance, {"x": np.array([60 * MIB])})).error for _ in range(2)]
        assert last[1] is None
        assert arena or last[0] is None
        assert pid_of(room) == pid


async def test_outputs_over_the_limit_of_a_transfer_fail_cleanly(tmp_path: Path) -> None:
    async with (
        ProcessRoom(IsolationConfig(transfer=MIB)) as room,
        instance_of(room, load_of(tmp_path, graphs.expand_to())) as instance,
    ):
        outcome = await run(instance, {"x": np.array([MIB])})
        assert isinstance(outcome.error, ModelUnavailable)
        assert "not enough memory to hand the outputs over" in outcome.error.message
        assert (await answer(instance, {"x": np.array([2])})).tolist() == [0, 0]


async def test_inputs_over_the_limit_of_a_transfer_fail_cleanly(tmp_path: Path) -> None:
    async with (
        ProcessRoom(IsolationConfig(transfer=MIB)) as room,
        instance_of(room, load_of(tmp_path, graphs.identity(dims=("n",)))) as instance,
    ):
        outcome = await run(instance, {"x": np.zeros(MIB, np.float32)})
        assert isinstance(outcome.error, ModelUnavailable)
        assert "not enough memory to hand the inputs over" in outcome.error.message
        assert (await answer(instance, {"x": np.ones(2, np.float32)})).tolist() == [1, 1]


async def test_the_memory_of_the_process_goes_with_it(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.add_one())):
        pid = pid_of(room)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert room.pids == frozenset()


async def test_the_warm_up_is_run_before_it_is_entered(room: ProcessRoom, tmp_path: Path) -> None:
    load = load_of(tmp_path, graphs.int_div(), [{name: Blank(Datatype.INT32, (1,)) for name in "ab"}])
    with pytest.raises(LoadFailed, match="division by zero"):
        async with instance_of(room, load):
            pass
    assert room.pids == frozenset()


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        pytest.param(graphs.unknown_op(), "NoSuchOperator", id="a file that does not load"),
        pytest.param(graphs.deadly(), r"signal 8 \(SIGFPE\) while starting", id="a death in the warm-up"),
    ],
)
async def test_a_process_that_does_not_get_ready_is_a_load_that_failed(
    room: ProcessRoom, tmp_path: Path, graph: bytes, reason: str
) -> None:
    load = load_of(tmp_path, graph, [{"x": Blank(Datatype.INT32, (1,))}])
    with pytest.raises(LoadFailed, match=reason):
        async with instance_of(room, load):
            pass
    assert room.pids == frozenset()


async def test_a_process_that_takes_too_long_to_get_ready_is_a_load_that_failed(tmp_path: Path) -> None:
    load = load_of(tmp_path, graphs.slow_always(10**9), [{"x": Blank(Datatype.FP32, (1, 64))}])
    async with ProcessRoom(IsolationConfig(start=0.3)) as room:
        with pytest.raises(LoadFailed, match=r"longer to start than the limit of 0\.3 s"):
            async with instance_of(room, load):
                pass
        assert room.pids == frozenset()


async def test_a_session_over_the_memory_limit_is_a_load_that_failed(tmp_path: Path) -> None:
    async with ProcessRoom(IsolationConfig(memory=64 * MIB)) as room:
        with pytest.raises(LoadFailed, match="memory"):
            async with instance_of(room, load_of(tmp_path, graphs.big(48))):
                pass


async def test_leaving_in_the_middle_of_a_run_ends_it(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.slow())) as instance:
        running = begin(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(10**9)})
    assert isinstance((await running).error, ExecutionFailed)


async def test_leaving_while_a_process_is_replaced_leaves_none_behind(
    room: ProcessRoom, tmp_path: Path
) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.int_div())) as instance:
        await run(instance, DEADLY)
        waiting = begin(instance, SEVEN)
    assert isinstance((await waiting).error, ExecutionFailed)
    assert room.pids == frozenset()


async def test_a_cancelled_start_leaves_no_process_behind(room: ProcessRoom, tmp_path: Path) -> None:
    load = load_of(tmp_path, graphs.slow_always(10**9), [{"x": Blank(Datatype.FP32, (1, 64))}])

    async def enter() -> None:
        async with instance_of(room, load):
            pass

    starting = asyncio.ensure_future(enter())
    await until(lambda: bool(room.pids))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert room.pids == frozenset()


async def test_an_answer_that_cannot_be_read_ends_the_process(room: ProcessRoom, tmp_path: Path) -> None:
    deaths = Deaths()
    async with instance_of(room, load_of(tmp_path, graphs.int_div()), deaths) as instance:
        worker = instance._worker
        assert worker is not None
        running = begin(instance, SEVEN)
        worker.on_answer({"start_ns": 1, "end_ns": 2, "tensors": [["y", "INT32", [5], 0, 4]]})
        error = (await running).error
        assert isinstance(error, ModelProcessDied)
        assert "an answer that cannot be read" in error.message
        assert (await answer(instance, SEVEN)).tolist() == [3]


async def test_a_spare_process_is_there_while_there_is_an_instance_and_takes_the_place_of_a_dead_one(
    room: ProcessRoom, tmp_path: Path
) -> None:
    spares = [room.spare_pid]
    load = load_of(tmp_path, graphs.int_div())
    async with instance_of(room, load) as instance:
        spares.append(room.spare_pid)
        assert spares[1] not in (None, pid_of(room))
        async with instance_of(room, load):
            assert spares[1] in room.pids
        spares.append(room.spare_pid)
        await run(instance, DEADLY)
        assert (await answer(instance, SEVEN)).tolist() == [3]
        assert pid_of(room) == spares[2]
    assert (spares[0], room.spare_pid) == (None, None)


async def test_a_spare_process_that_died_costs_nothing(room: ProcessRoom, tmp_path: Path) -> None:
    async with instance_of(room, load_of(tmp_path, graphs.int_div())) as instance:
        spare = room.spare_pid
        assert spare is not None
        os.kill(spare, signal.SIGKILL)
        await until(lambda: has_ended(spare))
        await run(instance, DEADLY)
        assert (await answer(instance, SEVEN)).tolist() == [3]
        assert spare not in (pid_of(room), room.spare_pid)


async def test_descriptors_do_not_add_up_over_deaths(room: ProcessRoom, tmp_path: Path) -> None:
    deaths = Deaths()

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with instance_of(room, load_of(tmp_path, graphs.int_div()), deaths) as instance:
        await answer(instance, SEVEN)
        before = count()
        for _ in range(MOST - 1):
            await run(instance, DEADLY)
            await answer(instance, SEVEN)
        assert count() == before


PARENT = """
    import asyncio, sys
    from pathlib import Path
    import numpy as np
    from tests.unit.runtime.test_process_instance import begin, instance_of, load_of
    from onnxd.runtime.process_room import ProcessRoom
    from tests.support import graphs

    async def main() -> None:
        async with (
            ProcessRoom() as room,
            instance_of(room, load_of(Path(sys.argv[1]), graphs.slow())) as instance,
        ):
            if sys.argv[2] == "running":
                begin(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(10**9)})
            print(*room.pids, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "running"])
async def test_a_process_does_not_outlive_a_server_that_was_killed(tmp_path: Path, state: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path), state, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()

    await until(lambda: has_ended(child))


async def test_brain_floats_keep_their_bits(room: ProcessRoom, tmp_path: Path) -> None:
    array = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    async with instance_of(room, load_of(tmp_path, graphs.identity(Datatype.BF16, ("n",)))) as instance:
        assert (await answer(instance, {"x": array})).view(np.uint16).tolist() == [0x3FC0, 0xC000]
