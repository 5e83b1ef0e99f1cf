"""What surrounds a run of the model, in this process: the call into ONNX Runtime, the scheduler, the thread.

    python -m benchmarks.hot_path [--short]

In CPU time, of which a busy machine takes little away; medians of rounds in turns, on one core. The ways to
call ONNX Runtime first; then requests on their way through batcher and instance, one by one and 64 together,
on the loop and on a thread, collected in each turn of the loop, run at once, and as the batcher does by
itself. Exits 1 when OnnxSession.run costs over MOST_TIMES what the barest call with the same guarantees does.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import uvloop

from benchmarks import models
from benchmarks.harness import SERVER_CORE, on_core, scratch
from benchmarks.table import show
from onnxd.messages import InferRequest
from onnxd.runtime.direct_run import run_options
from onnxd.runtime.instance import Instance
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.placement import Placement
from onnxd.runtime.session_config import SessionConfig
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.clock import LoopClock
from onnxd.scheduler.company import Company
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.telemetry.statistics import ModelStatistics

MOST_TIMES: Final = 1.75
_CALLS: Final = 300
_REQUESTS: Final = 1600
_GRAPHS: Final = {"identity": (models.identity(), 4), "mlp": (models.mlp(), 784)}


class _Never(Company):
    """Every request waits for the end of its turn."""

    def turn_over(self) -> None:
        self.one_by_one = False


class _Always(Company):
    """None does that can be run."""

    def turn_over(self) -> None:
        self.one_by_one = True


_WAYS: Final[dict[str, Callable[[], Company]]] = {
    "collected": _Never, "at once": _Always, "by itself": Company
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="5 rounds")
    rounds = 5 if parser.parse_args().short else 21
    with scratch() as directory, on_core(SERVER_CORE):
        sessions = {}
        for name, (graph, _) in _GRAPHS.items():
            path = directory / f"{name}.onnx"
            path.write_bytes(graph)
            sessions[name] = OnnxSession.open(path, SessionConfig(), threads=1)
        calls = _calls(sessions, rounds)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            ways = runner.run(_scheduled(directory, max(3, rounds // 2)))
    show("calls, one row", ["how", *_GRAPHS], [[how, *(f"{us:.1f}" for us in row)] for how, row in calls])
    show("requests, CPU us each", ["model, at a time, where, how", "us", "rows of a run"], ways)
    by_name = dict(calls)
    times = by_name["OnnxSession.run"][0] / by_name["_sess.run, its options used again"][0]
    print(f"OnnxSession.run / the barest call, identity: {times:.2f} (at most {MOST_TIMES})")
    return 1 if times > MOST_TIMES else 0


def _calls(sessions: dict[str, OnnxSession], rounds: int) -> list[tuple[str, list[float]]]:
    taken: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    ways = {
        name: _ways_to_call(session, np.ones((1, _GRAPHS[name][1]), np.float32))
        for name, session in sessions.items()
    }
    for _ in range(rounds):
        for name, each in ways.items():
            for how, call in each.items():
                start_s = time.thread_time()
                for _ in range(_CALLS):
                    call()
                taken[how][name].append((time.thread_time() - start_s) / _CALLS * 1e6)
    return [(how, [median(by_name[name]) for name in sessions]) for how, by_name in taken.items()]


def _ways_to_call(session: OnnxSession, x: Any) -> dict[str, Callable[[], object]]:
    public: Any = session._session
    bare, names, feeds, options = public._sess, ("y",), {"x": x}, run_options()
    bound = public.io_binding()
    bound.bind_cpu_input("x", x)
    bound.bind_output("y")
    rebound = public.io_binding()
    rebound.bind_output("y")

    def bind() -> object:
        rebound.bind_cpu_input("x", x)
        public.run_with_iobinding(rebound)
        return rebound.copy_outputs_to_cpu()

    def as_values() -> object:
        value = onnxruntime.OrtValue.ortvalue_from_numpy(x)
        return bare.run_with_ort_values({"x": value._ortvalue}, names, None)[0].numpy()

    return {
        "_sess.run, its options used again": lambda: bare.run(names, feeds, options),
        "_sess.run, new options": lambda: bare.run(names, feeds, run_options()),
        "InferenceSession.run": lambda: public.run(names, feeds),
        "inputs and outputs bound once": lambda: bare.run_with_iobinding(bound._iobinding, None),
        "bound for each run": bind,
        "as OrtValues": as_values,
        "OnnxSession.run": lambda: session.run(feeds, names),
    }


async def _scheduled(directory: Path, rounds: int) -> list[list[str]]:
    cpu_us: defaultdict[str, list[float]] = defaultdict(list)
    rows: dict[str, float] = {}
    for _ in range(rounds):
        for name, (_, width) in _GRAPHS.items():
            for together in (1, 64):
                for place in (Placement.INLINE, Placement.THREAD):
                    for how, company in _WAYS.items():
                        what = f"{name}, {together}, {place.value}, {how}"
                        session = OnnxSession.open(directory / f"{name}.onnx", SessionConfig(), threads=1)
                        loop = asyncio.get_running_loop()
                        async with Instance(session, name=name, loop=loop, forced=place) as instance:
                            cost_us, rows[what] = await _cost(instance, company(), width, together)
                            cpu_us[what].append(cost_us)
    return [[what, f"{median(each):.1f}", f"{rows[what]:.1f}"] for what, each in cpu_us.items()]


async def _cost(instance: Instance, company: Company, width: int, together: int) -> tuple[float, float]:
    """CPU microseconds of a request, and the mean rows of a run."""
    statistics = ModelStatistics()
    batcher = Batcher(
        "m", [instance], max_rows=64, form=Rows(), policy=BatchPolicy(), statistics=statistics,
        clock=LoopClock(asyncio.get_running_loop()), times=ServiceTimes(max_rows=64),
    )  # fmt: skip
    batcher._company = company
    x = np.ones((1, width), np.float32)

    async def repeat(times: int) -> None:
        for _ in range(times):
            request = InferRequest("m", {"x": x}, byte_size=x.nbytes, deadline_s=time.monotonic() + 60)
            await batcher.submit(request, 1, ("y",))
            await asyncio.sleep(0)

    await asyncio.gather(*(repeat(16) for _ in range(together)))
    before, start_s = statistics.snapshot(), time.process_time()
    await asyncio.gather(*(repeat(_REQUESTS // together) for _ in range(together)))
    spent_s, after = time.process_time() - start_s, statistics.snapshot()
    requests = after.success.count - before.success.count
    return spent_s / requests * 1e6, requests / (after.execution_count - before.execution_count)


if __name__ == "__main__":
    sys.exit(main())
