"""An instance: inline, on its thread, and its end."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import ExecutionFailed, TensorMismatch
from onnxd.runtime.instance import Instance, RunOutcome
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.placement import Placement
from onnxd.runtime.session_config import SessionConfig
from onnxd.scheduler.runner import Runner
from onnxd.tensors import Array
from tests.support import graphs
from tests.support.until import until

X = {"x": np.zeros((1, 4), np.float32)}


class FakeSession:
    """Notes which thread ran it; waits for `gate` in each run, and raises `error` when it has one."""

    on_cpu = True

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.gate = threading.Event()
        self.gate.set()
        self.threads: list[str] = []
        self.closed_on: str | None = None

    def run(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        self.threads.append(threading.current_thread().name)
        self.gate.wait()
        if self.error is not None:
            raise self.error
        return dict.fromkeys(outputs, inputs["x"])

    def terminate(self) -> None:
        self.error = ExecutionFailed("the run was ended before it had finished")
        self.gate.set()

    def close(self) -> None:
        self.closed_on = threading.current_thread().name


def instance_of(session: FakeSession | OnnxSession, forced: Placement | None = None) -> Instance:
    return Instance(session, name="fake", loop=asyncio.get_running_loop(), forced=forced)


async def run(instance: Instance, inputs: Mapping[str, Array]) -> RunOutcome:
    done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
    instance.start(inputs, ("y",), done.set_result)
    return await done


def real_session(tmp_path: Path, model: bytes) -> OnnxSession:
    (tmp_path / "model.onnx").write_bytes(model)
    return OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)


@pytest.mark.parametrize("forced", [Placement.INLINE, Placement.THREAD])
async def test_a_model_runs_in_either_place(tmp_path: Path, forced: Placement) -> None:
    async with instance_of(real_session(tmp_path, graphs.add_one()), forced) as instance:
        outcome = await run(instance, X)
    assert outcome.error is None
    assert outcome.outputs is not None
    assert outcome.outputs["y"].tolist() == [[1.0] * 4]
    assert 0 < outcome.start_ns <= outcome.end_ns
    assert instance.placement is forced
    assert instance.mean_run_s is not None


async def test_it_fits_the_schedulers_seam() -> None:
    async with instance_of(FakeSession()) as instance:
        runner: Runner = instance
        assert runner is instance


async def test_an_inline_run_is_done_before_start_returns() -> None:
    session = FakeSession()
    outcomes: list[RunOutcome] = []
    async with instance_of(session, Placement.INLINE) as instance:
        instance.start(X, ("y",), outcomes.append)
        assert len(outcomes) == 1
    assert session.threads == [threading.current_thread().name]


async def test_a_run_on_the_thread_leaves_the_loop_free() -> None:
    session = FakeSession()
    session.gate.clear()
    async with instance_of(session, Placement.THREAD) as instance:
        done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
        finished_on: list[str] = []

        def finish(outcome: RunOutcome) -> None:
            finished_on.append(threading.current_thread().name)
            done.set_result(outcome)

        instance.start(X, ("y",), finish)
        assert not done.done()
        session.gate.set()
        await done
    assert session.threads == ["onnxd-fake"]
    assert finished_on == [threading.current_thread().name]


async def test_unmeasured_runs_start_on_the_thread_and_short_ones_come_to_the_loop() -> None:
    session = FakeSession()
    async with instance_of(session) as instance:
        for _ in range(200):
            await run(instance, X)
    assert session.threads[0] == "onnxd-fake"
    assert session.threads[-1] == threading.current_thread().name


async def test_what_a_trial_measured_decides_where_the_first_run_is() -> None:
    loop = asyncio.get_running_loop()
    short = Instance(FakeSession(), name="short", loop=loop, expected_run_s=5e-6)
    long = Instance(FakeSession(), name="long", loop=loop, expected_run_s=5e-3)
    assert (short.placement, long.placement) == (Placement.INLINE, Placement.THREAD)


@pytest.mark.parametrize("forced", [Placement.INLINE, Placement.THREAD])
@pytest.mark.parametrize(
    "error", [TensorMismatch("input 'x' is wrong"), ZeroDivisionError("a bug")], ids=repr
)
async def test_a_failure_is_an_outcome_and_does_not_escape(forced: Placement, error: Exception) -> None:
    async with instance_of(FakeSession(error), forced) as instance:
        outcome = await run(instance, X)
    assert outcome.error is error
    assert outcome.outputs is None
    assert instance.mean_run_s is None


async def test_terminate_ends_the_run_in_progress(tmp_path: Path) -> None:
    session = real_session(tmp_path, graphs.slow())
    async with instance_of(session, Placement.THREAD) as instance:
        running = asyncio.ensure_future(
            run(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(10**9)})
        )
        while not running.done():  # the thread may not have begun when the first request to end comes
            instance.terminate()
            await asyncio.wait([running], timeout=0.01)
        assert isinstance(running.result().error, ExecutionFailed)
        outcome = await run(instance, {"x": np.ones((1, 64), np.float32), "steps": np.array(1)})
        assert outcome.error is None


async def test_terminate_while_idle_does_nothing(tmp_path: Path) -> None:
    async with instance_of(real_session(tmp_path, graphs.add_one()), Placement.THREAD) as instance:
        instance.terminate()
        assert (await run(instance, X)).error is None


async def test_leaving_ends_the_run_and_the_thread_then_closes_the_session_off_the_loop() -> None:
    session = FakeSession()
    session.gate.clear()
    done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
    async with instance_of(session, Placement.THREAD) as instance:
        instance.start(X, ("y",), done.set_result)
    assert isinstance((await done).error, ExecutionFailed)
    assert "onnxd-fake" not in [thread.name for thread in threading.enumerate()]
    assert session.closed_on not in (None, threading.current_thread().name)


async def test_a_run_that_is_ended_before_the_thread_has_begun_it_is_not_run() -> None:
    session = FakeSession()
    instance = instance_of(session, Placement.THREAD)
    done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
    instance.start(X, ("y",), done.set_result)  # the thread is not there yet
    instance.terminate()
    async with instance:
        outcome = await done
        assert isinstance(outcome.error, ExecutionFailed)
        assert "before it had begun" in str(outcome.error)
        assert session.threads == []


async def test_a_run_that_the_session_does_not_know_yet_is_ended_when_it_does() -> None:
    class Unaware(FakeSession):
        """Misses what it is told first, as while it makes a run ready."""

        asked = 0

        def terminate(self) -> None:
            self.asked += 1
            if self.asked > 1:
                super().terminate()

    session = Unaware()
    session.gate.clear()
    async with instance_of(session, Placement.THREAD) as instance:
        done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
        instance.start(X, ("y",), done.set_result)
        await until(lambda: bool(session.threads))
        instance.terminate()
        assert isinstance((await done).error, ExecutionFailed)
        asked = session.asked
    assert asked > 1


async def test_the_run_after_one_that_was_ended_is_run() -> None:
    session = FakeSession()
    session.gate.clear()
    async with instance_of(session, Placement.THREAD) as instance:
        done: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
        instance.start(X, ("y",), done.set_result)
        instance.terminate()
        assert (await done).error is not None
        session.error = None
        assert (await run(instance, X)).error is None
