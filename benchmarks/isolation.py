"""What a process of its own costs a model, how soon it is back after a death, and what it leaves behind.

    python -m benchmarks.isolation [--short]

Runs of an MLP 784-256-10 on the loop, on a thread and in a process, taken in turns: compare the ratios. Then
a server whose isolated model is killed again and again, and one whose isolated model is reloaded again and
again. Exits 1 when a model was away for more than 2 s, when another one did not answer meanwhile, or when
descriptors or processes are left over.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import numpy as np
import uvloop

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import ask_http, payload
from benchmarks.table import show
from onnxd.runtime.deaths import MOST, Deaths
from onnxd.runtime.instance import Instance, RunOutcome
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.placement import Placement
from onnxd.runtime.process_instance import ProcessInstance
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial_messages import TrialRequest
from onnxd.runtime.worker_messages import WorkerLoad
from onnxd.tensors import Array

AWAY_LIMIT_S: Final = 2.0
APART: Final = models.BATCHED + "isolation: process\n"
_BATCHES: Final = (1, 32)
_NAMED: Final = "onnxd:"
_BETWEEN_S: Final = 2.0
"""From one death to the next: the spare process imports meanwhile."""
_GIVE_UP_S: Final = 30.0
_LOOK_S: Final = 0.01
_SLACK: Final = 2
"""Descriptors of connections that come and go."""


class _Runs(Protocol):
    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunOutcome], None]
    ) -> None: ...


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer runs, deaths and reloads")
    short: bool = parser.parse_args().short
    with scratch() as directory:
        uvloop.run(costs(directory, rounds=5 if short else 15, runs=200 if short else 1000))
        misses = deaths(directory, loads=1 if short else 5)
        misses += reloads(directory, 20 if short else 200)
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


# What a run costs.


async def costs(directory: Path, *, rounds: int, runs: int) -> None:
    """Print the time of a run in each place, from the call to its end on the loop."""
    path = directory / "model.onnx"
    path.write_bytes(models.mlp())
    async with AsyncExitStack() as resources:
        places = {
            place: await resources.enter_async_context(_instance(place, path))
            for place in ("inline", "thread", "process")
        }
        rows = []
        for batch in _BATCHES:
            inputs = {"x": np.ones((batch, 784), np.float32)}
            times: dict[str, list[float]] = {place: [] for place in places}
            for _ in range(rounds):
                for place, instance in places.items():
                    times[place].append(await _run_s(instance, inputs, runs))
            middle = {place: median(seconds) for place, seconds in times.items()}
            rows += [
                [
                    f"{place}, batch {batch}",
                    f"{seconds * 1e6:.0f}",
                    f"{seconds / middle['inline']:.2f}",
                    f"{seconds / middle['thread']:.2f}",
                ]
                for place, seconds in middle.items()
            ]
    show("a run, and the way there and back", ["where", "µs", "of inline", "of thread"], rows)


@asynccontextmanager
async def _instance(place: str, path: Path) -> AsyncIterator[_Runs]:
    config = SessionConfig()
    if place == "process":
        load = WorkerLoad(TrialRequest(path, config, 1))
        async with ProcessRoom() as room, ProcessInstance(room, load, Deaths(), name="mlp") as apart:
            yield apart
        return
    session = OnnxSession.open(path, config, 1)
    loop = asyncio.get_running_loop()
    async with Instance(session, name="mlp", loop=loop, forced=Placement(place)) as instance:
        yield instance


async def _run_s(instance: _Runs, inputs: Mapping[str, Array], runs: int) -> float:
    loop = asyncio.get_running_loop()
    start_s = time.perf_counter()
    for _ in range(runs):
        done: asyncio.Future[RunOutcome] = loop.create_future()
        instance.start(inputs, ("y",), done.set_result)
        outcome = await done
        if outcome.error is not None:
            raise outcome.error
    return (time.perf_counter() - start_s) / runs


# How soon it is back.


def deaths(directory: Path, *, loads: int) -> list[str]:
    """Kill the process of a model, four times after each load; what did not hold."""
    away_s: list[float] = []
    misses: list[str] = []
    repository = directory / "dying"
    models.publish(repository, "apart", models.mlp(), APART)
    models.publish(repository, "bystander", models.mlp(1), models.BATCHED)
    with server(repository, directory / "state-dying") as running:
        for _ in range(loads):
            for verb in ("unload", "load"):
                _post(running, f"/v2/repository/models/apart/{verb}")
            away_s += [_kill(running, misses) for _ in range(MOST - 1)]
    print(
        f"{len(away_s)} deaths: back after {median(away_s):.2f} s, at worst {max(away_s):.2f} s "
        f"(at most {AWAY_LIMIT_S:g} s)"
    )
    if max(away_s) > AWAY_LIMIT_S:
        misses.append("a model was away for longer")
    return misses


def _kill(running: Running, misses: list[str]) -> float:
    """Seconds from the signal until the model answers; asked without a pause, as is the other one."""
    apart, bystander = (payload("http binary", name, 784) for name in ("apart", "bystander"))
    [worker] = _workers(running)
    time.sleep(_BETWEEN_S)
    start_s = time.monotonic()
    os.kill(worker, signal.SIGSEGV)
    while time.monotonic() - start_s < _GIVE_UP_S:
        if ask_http(running.http_port, bystander)[0] != 200:
            misses.append("another model did not answer")
        status, _ = ask_http(running.http_port, apart)
        if status == 200 and worker not in _workers(running):
            return time.monotonic() - start_s
    raise RuntimeError(f"the model was not back within {_GIVE_UP_S} s")


# What it leaves behind.


def reloads(directory: Path, count: int) -> list[str]:
    """Reload a model so many times, each time with other bytes; what did not hold."""
    repository = directory / "reloaded"
    models.publish(repository, "apart", models.row_constant(0), APART)
    with server(repository, directory / "state-reloaded", ONNXD_WATCH_SETTLE="20ms") as running:
        looks = {}
        for number in range(1, count + 1):
            models.publish(repository, "apart", models.row_constant(number))
            _until(partial(_has_settled, running, number))
            looks[number] = running.resources()
        started = _workers(running)
        _post(running, "/v2/repository/models/apart/unload")
        _until(lambda: not _workers(running))
    halves = [
        median(looks[number].descriptors for number in looks if (number > count // 2) is late)
        for late in (False, True)
    ]
    print(
        f"{count} reloads: {halves[0]:g} descriptors in the first half and {halves[1]:g} in the second, "
        f"{looks[1].resident_bytes / 2**20:.0f} MiB resident after the first and "
        f"{looks[count].resident_bytes / 2**20:.0f} MiB after the last"
    )
    misses = [f"process {pid} was left over" for pid in started if Path(f"/proc/{pid}").exists()]
    if halves[1] > halves[0] + _SLACK:
        misses.append(f"descriptors grew from {halves[0]:g} to {halves[1]:g}")
    return misses


def _has_settled(running: Running, number: int) -> bool:
    """The version with this number answers, and the process of the one before is gone."""
    status, body = ask_http(running.http_port, payload("http binary", "apart", 4))
    answers = status == 200 and np.frombuffer(body[-16:], np.float32).tolist() == [number] * 4
    return answers and len(_workers(running)) == 1


def _until(holds: Callable[[], bool]) -> None:
    start_s = time.monotonic()
    while not holds():
        if time.monotonic() - start_s > _GIVE_UP_S:
            raise RuntimeError(f"it did not come about within {_GIVE_UP_S} s")
        time.sleep(_LOOK_S)


def _workers(running: Running) -> set[int]:
    """The processes in which it runs models."""
    pids = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return {int(pid) for pid in pids if _name(pid).startswith(_NAMED)}


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _post(running: Running, path: str) -> None:
    url = f"http://127.0.0.1:{running.http_port}{path}"
    request = urllib.request.Request(url, json.dumps({}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_GIVE_UP_S) as answer:  # noqa: S310 -- the same
        answer.read()


if __name__ == "__main__":
    sys.exit(main())
