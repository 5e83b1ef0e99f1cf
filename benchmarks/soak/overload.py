"""S8: three times as much as a model can do, from a flood and from one that asks for half of its share.

In rounds, each with its own measure of what the model can do: how fast a machine is changes from minute to
minute. What is told of capacity is the median of the rounds' ratios, and of waiting what all rounds saw.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import models
from benchmarks.harness import server
from benchmarks.payloads import payload
from benchmarks.soak.verdict import Verdict
from onnxd.security import key_file

LOAD: Final = 3.0
LIGHT_LOAD: Final = 0.25
GOODPUT: Final = 0.9
NEAR: Final = 1.5
CLOSE: Final = 1.25
"""To the least that can be."""
ROUND_S: Final = 15.0
_PARTS: Final = 7
"""Of a round: one at full load, two of the light caller alone, two of both, one at rest, one after it."""
RUNS: Final = 20
"""Of the model, that a request may take at most."""
REFUSED_WITHIN_S: Final = 0.005
RECOVERED_S: Final = 10.0
ROWS: Final = 4
QUEUE: Final = 12 * ROWS
_CONFIG: Final = f"""max_batch_size: {ROWS}
session: {{intra_op_threads: 1}}
batching: {{max_queue_size: {QUEUE}}}
"""
_WIDTH: Final = 1024
_LAYERS: Final = 300
"""So that what the model can do is little beside what the front end can."""
_KEPT_S: Final = 50.0
"""The server's own keep-alive is 75 s."""
_TRIES: Final = 10
_CLOSED: Final = 8 * ROWS
"""Requests in flight where the model is to be kept busy."""


@dataclass(slots=True)
class Seen:
    """What became of one caller's requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)
    began_s: float = 0.0
    """time.monotonic() at the first request, and at the last: of what was sent together."""
    ended_s: float = 0.0
    answered_at_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    untold: int = 0
    """Refusals of the server's that did not say when to come again."""

    @property
    def rate(self) -> float:
        """Answers a second while requests came."""
        in_time = sum(at_s <= self.ended_s for at_s in self.answered_at_s)
        return in_time / (self.ended_s - self.began_s) if in_time else 0.0

    def add(self, other: "Seen") -> None:
        """What became of those of another round."""
        self.statuses += other.statuses
        self.answered_s += other.answered_s
        self.refused_s += other.refused_s
        self.untold += other.untold


@dataclass(slots=True)
class Found:
    """All rounds."""

    peaks: list[float] = field(default_factory=list)
    goodputs: list[float] = field(default_factory=list)
    alone: Seen = field(default_factory=Seen)
    beside: Seen = field(default_factory=Seen)
    flood: Seen = field(default_factory=Seen)
    after: Seen = field(default_factory=Seen)

    @property
    def peak(self) -> float:
        return float(np.median(self.peaks))

    @property
    def goodput(self) -> float:
        return float(np.median(self.goodputs))


async def run(directory: Path, seconds: float, runs: int = RUNS, layers: int = _LAYERS) -> Verdict:
    """For about so long; a request may take so many runs of the model, which has so many layers."""
    rounds = max(1, int(seconds / ROUND_S))
    part_s = seconds / rounds / _PARTS
    verdict = Verdict(f"overload: {LOAD:g} x what the model can do, {rounds} times {2 * part_s:.1f} s")
    models.publish(directory / "models", "m", models.deep(_WIDTH, layers), _CONFIG)
    keys = key_file.empty()
    bearers = {}
    for name in ("flood", "light"):
        keys, key = keys.with_new(name, ("infer",), time.time(), None)
        bearers[name] = key.text()
    key_file.save(directory / "keys.json", keys)
    flags = ("--auth-keys-file", str(directory / "keys.json"), "--log-level", "error")
    found = Found()
    with server(directory / "models", directory / "state", *flags) as running:
        async with (
            _caller(running.http_port, bearers["flood"]) as flood,
            _caller(running.http_port, bearers["light"]) as light,
        ):
            await _closed(flood, 1.0)
            deadline_s = runs * ROWS / await _most(flood, part_s)
            for caller in (flood, light):
                caller.allow(deadline_s)
            for _ in range(rounds):
                await _round(found, flood, light, part_s)
    verdict.show("deadlines in ms", f"{deadline_s * 1e3:.0f}")
    late = _p99(found.flood.answered_s) > deadline_s + REFUSED_WITHIN_S
    verdict.expect_figure(not late, f"answers: {_both(found.flood.answered_s)}")
    _judge(verdict, found)
    return verdict


async def _most(caller: "_Caller", seconds: float) -> float:
    """Answers a second, at most; longer than asked where the machine stood still for as long."""
    for _ in range(_TRIES):
        if rate := (await _closed(caller, seconds)).rate:
            return rate
    raise RuntimeError(f"no answer in {_TRIES} times {seconds:.1f} s")


async def _round(found: Found, flood: "_Caller", light: "_Caller", part_s: float) -> None:
    peak = await _most(flood, part_s)
    found.alone.add(await _open(light, LIGHT_LOAD * peak, 2 * part_s))
    async with asyncio.TaskGroup() as tasks:
        flooding = tasks.create_task(_open(flood, (LOAD - LIGHT_LOAD) * peak, 2 * part_s))
        beside = tasks.create_task(_open(light, LIGHT_LOAD * peak, 2 * part_s))
    await asyncio.sleep(min(RECOVERED_S, part_s))
    found.after.add(await _open(light, LIGHT_LOAD * peak, part_s))
    found.flood.add(flooding.result())
    found.beside.add(beside.result())
    found.peaks.append(peak)
    found.goodputs.append((flooding.result().rate + beside.result().rate) / peak)


def _judge(verdict: Verdict, found: Found) -> None:
    light, flood = found.beside, found.flood
    run_s = ROWS / found.peak
    # On one instance it waits for a run in progress and for its own, whatever is decided.
    near_s = max(NEAR * _p99(found.alone.answered_s), CLOSE * 2 * run_s)
    verdict.show("answers a second, at most", f"{found.peak:.0f}")
    verdict.show("of them under the flood", f"{found.goodput:.1%}")
    verdict.show("light: statuses", dict(light.statuses))
    verdict.show("flood: statuses", dict(flood.statuses))
    verdict.show("two full runs: ms", f"{2 * run_s * 1e3:.1f}")
    for what, seen in (("alone", found.alone), ("beside the flood", light), ("after it", found.after)):
        verdict.show(f"light, {what}: p50 / p99 in ms", _both(seen.answered_s))
    verdict.show("light, beside / alone: p99", f"{_p99(light.answered_s) / _p99(found.alone.answered_s):.2f}")
    verdict.show("flood: p50 / p99 in ms", _both(flood.answered_s))
    verdict.show("refusals: p50 / p99 in ms", _both(flood.refused_s))
    verdict.expect(set(light.statuses) == {200}, f"the light caller was refused: {dict(light.statuses)}")
    odd = set(flood.statuses) - {200, 429, 503, 504}
    verdict.expect(not odd, f"the flood met with {odd}")
    verdict.expect(flood.statuses[200] > 0 < len(flood.refused_s), "the flood was no flood, or drowned")
    verdict.expect(not flood.untold, f"{flood.untold} refusals without Retry-After")
    verdict.expect_figure(found.goodput >= GOODPUT, f"{found.goodput:.1%} of the answers that there could be")
    verdict.expect_figure(
        _p99(light.answered_s) <= near_s,
        f"the light caller's p99 is {_both(light.answered_s)}, alone {_both(found.alone.answered_s)}",
    )
    verdict.expect_figure(_p99(flood.refused_s) < REFUSED_WITHIN_S, f"refusals: {_both(flood.refused_s)}")
    verdict.expect_figure(
        _p99(found.after.answered_s) <= near_s, f"not recovered: {_both(found.after.answered_s)}"
    )


class _Caller:
    """Requests over connections that are kept, as many as are in flight."""

    def __init__(self, port: int, bearer: str) -> None:
        self._port = port
        self._bearer = bearer
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []
        """And since when."""
        self.allow(30.0)

    def allow(self, deadline_s: float) -> None:
        """How long each may take from now on."""
        asked = payload("http binary", "m", _WIDTH)
        headers = {
            **asked.headers,
            "Host": "localhost",
            "Content-Length": str(len(asked.body)),
            "Authorization": f"Bearer {self._bearer}",
            "X-Request-Timeout-Ms": str(int(deadline_s * 1e3)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._message = f"POST {asked.path} HTTP/1.1\r\n{lines}\r\n".encode() + asked.body

    async def ask(self, seen: Seen) -> None:
        reader, writer = self._rested() or await asyncio.open_connection("127.0.0.1", self._port)
        start_s = time.monotonic()
        writer.write(self._message)
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r")[0]))
        took_s, status = time.monotonic() - start_s, int(head.split(None, 2)[1])
        seen.statuses[status] += 1
        (seen.answered_s if status == 200 else seen.refused_s).append(took_s)
        if status == 200:
            seen.answered_at_s.append(start_s + took_s)
        if status in (429, 503) and b"\r\nretry-after: " not in head:
            seen.untold += 1
        self._idle.append((reader, writer, start_s + took_s))

    def _rested(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that nobody uses; not one that the server is about to close."""
        while self._idle:
            reader, writer, since_s = self._idle.pop()
            if time.monotonic() - since_s < _KEPT_S:
                return reader, writer
            writer.close()
        return None

    def close(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()


@asynccontextmanager
async def _caller(port: int, bearer: str) -> AsyncIterator[_Caller]:
    caller = _Caller(port, bearer)
    try:
        yield caller
    finally:
        caller.close()


async def _closed(caller: _Caller, seconds: float) -> Seen:
    """As many in flight as keep the model busy."""
    now_s = time.monotonic()
    end_s = now_s + seconds
    seen = Seen(began_s=now_s, ended_s=end_s)

    async def one_after_the_other() -> None:
        while time.monotonic() < end_s:
            await caller.ask(seen)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CLOSED):
            tasks.create_task(one_after_the_other())
    return seen


async def _open(caller: _Caller, rate: float, seconds: float) -> Seen:
    """So many a second, whatever comes of them."""
    seen, random = Seen(), np.random.default_rng(1)
    start_s = time.monotonic()
    at_s = np.cumsum(random.exponential(1 / rate, max(1, int(rate * seconds))))
    seen.began_s, seen.ended_s = start_s, start_s + seconds
    async with asyncio.TaskGroup() as tasks:
        for due_s in at_s:
            if (left_s := start_s + float(due_s) - time.monotonic()) > 0:
                await asyncio.sleep(left_s)
            tasks.create_task(caller.ask(seen))
    return seen


def _p99(seconds: list[float]) -> float:
    return float(np.percentile(seconds, 99)) if seconds else 0.0


def _both(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    return f"{np.median(seconds) * 1e3:.1f} / {_p99(seconds) * 1e3:.1f}"
