"""Matches of the arena by policies in this process and by the same ones behind a server.

    python -m benchmarks.arena_play [--short]

Ticks a second, as a ratio to the local policies of the same round; where the time goes; how full the batches
are that the server makes of requests that come at once. The ways are taken in turns with the same matches.
Exits 1 when a decision was not answered, or when a match went another way than locally.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
import uvloop

from benchmarks.harness import LOAD_CORE, SERVER_CORE, Running, on_core, scratch, server
from benchmarks.table import show
from onnxd_client import AsyncClient
from sim_core.arena.game import Arena
from sim_core.arena.rules import Rules
from sim_core.matches.play import Play, fixtures
from sim_core.matches.results import Results
from sim_core.policies.choice import choose
from sim_core.policies.opening import open_policies
from sim_core.policies.policy import Answer, Policy, Question
from sim_core.policies.served import REQUEST_PER, Asking
from sim_core.replays.documents import PolicyEntry
from sim_core.replays.writer import MatchRecord, encode_rows
from sim_core.training.network import Network, Shape
from sim_core.training.onnx_file import write_policy

MODEL: Final = "policy"
VERSIONS: Final = (1, 2)
_CONFIG: Final = "max_batch_size: 64\nversions: all\n"
_SEED: Final = 1
_HIDDEN: Final = 16
_TICKS: Final = 25
"""Of a match, at most: untrained policies do not end one sooner."""


@dataclass(frozen=True, slots=True)
class Way:
    """How policies are asked; `wire` None = they are in this process."""

    name: str
    wire: str | None = None
    per: REQUEST_PER = "agent"


WAYS: Final = (
    Way("local"),
    Way("grpc, request per agent", "grpc", "agent"),
    Way("grpc, request per team", "grpc", "team"),
    Way("http, request per team", "http", "team"),
)


@dataclass(frozen=True, slots=True)
class Round:
    """One way, once."""

    ticks: int
    seconds: float
    fallbacks: int
    digest: str
    """Of all that the agents did and came to: equal if the matches were."""
    server_cpu_s: float = 0.0
    server_ms: float = 0.0
    """Of a request, from the server's queue to the end of its run, on average."""
    asked_ms: float = 0.0
    """Of a decision, from asking to knowing, on average."""
    batch: float = 0.0
    """Rows of a run, on average."""


class LocalNetwork:
    """Obeys sim_core.policies.policy.Policy: what the server runs, as NumPy."""

    def __init__(self, name: str, network: Network) -> None:
        self.entry = PolicyEntry(name, "served")
        self._network = network

    async def decide(self, question: Question) -> Answer:
        return Answer.local(choose(self._network.scores(question.observations)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer rounds and matches")
    short: bool = parser.parse_args().short
    parallels, rounds = ((1, 8), 3) if short else ((1, 8, 64), 3)
    shape = Shape(Arena.observation_size, _HIDDEN, len(Arena.actions))
    networks = [
        Network.unpacked(shape, np.random.default_rng(version).standard_normal(shape.parameters) * 0.5)
        for version in VERSIONS
    ]
    with scratch() as directory:
        models = directory / "models" / MODEL
        for version, network in zip(VERSIONS, networks, strict=True):
            write_policy(network, models / str(version) / "model.onnx", doc="Of a benchmark.")
        (models / "config.yaml").write_text(_CONFIG)
        served = server(directory / "models", directory / "state", core=SERVER_CORE)
        with served as running, on_core(LOAD_CORE):
            misses = uvloop.run(_measure(running, networks, parallels, rounds))
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


async def _measure(
    running: Running, networks: Sequence[Network], parallels: Sequence[int], rounds: int
) -> list[str]:
    misses: list[str] = []
    for parallel in parallels:
        found: dict[Way, list[Round]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                found[way].append(await _play(running, networks, way, parallel))
        _show(parallel, found)
        for way, played in found.items():
            if fallbacks := sum(each.fallbacks for each in played):
                misses.append(f"{way.name}, {parallel} at once: {fallbacks} decisions were not answered")
            if {each.digest for each in played} != {found[WAYS[0]][0].digest}:
                misses.append(f"{way.name}, {parallel} at once: matches went another way than locally")
    return misses


async def _play(running: Running, networks: Sequence[Network], way: Way, parallel: int) -> Round:
    """As many matches as are played at once, from their start to the end of the last."""
    game = Arena(Rules(ticks=_TICKS))
    results = Results([f"{MODEL}:{version}" for version in VERSIONS])
    records: list[MatchRecord] = []

    def record(match: MatchRecord) -> None:
        results.add(match)
        records.append(match)

    async with AsyncExitStack() as resources:
        policies: list[Policy]
        if way.wire is None:
            policies = [
                LocalNetwork(name, network) for name, network in zip(results.policies, networks, strict=True)
            ]
        else:
            opened = await open_policies(
                results.policies,
                game,
                seed=_SEED,
                url=f"{way.wire}://127.0.0.1:{running.port_of(way.wire)}",
                asking=Asking(per=way.per, deadline_s=60),
                resources=resources,
            )
            policies = opened.policies
        client = await resources.enter_async_context(AsyncClient(f"http://127.0.0.1:{running.http_port}"))
        before, cpu_s, began_s = await _counters(client), running.cpu_s(), perf_counter()
        await Play(game, policies, seed=_SEED, parallel=parallel).play(fixtures(parallel), record)
        seconds, cpu_s = perf_counter() - began_s, running.cpu_s() - cpu_s
        counters = await _counters(client) - before
    requests, request_ns, rows, runs = counters.tolist()
    latencies = results.latencies.values()
    return Round(
        ticks=results.ticks,
        seconds=seconds,
        fallbacks=sum(sum(results.tally(place).fallbacks.values()) for place in (0, 1)),
        digest=_digest(records),
        server_cpu_s=cpu_s,
        server_ms=request_ns / requests / 1e6 if requests else 0.0,
        asked_ms=sum(each.total_ms for each in latencies) / sum(sum(each.counts) for each in latencies),
        batch=rows / runs if runs else 0.0,
    )


async def _counters(client: AsyncClient) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Requests and their nanoseconds, rows, and runs, of both versions."""
    counted = np.zeros(4, np.int64)
    for each in await client.statistics(MODEL):
        success = each["inference_stats"]["success"]
        rows, runs = each["inference_count"], each["execution_count"]
        counted += [int(figure) for figure in (success["count"], success["ns"], rows, runs)]
    return counted


def _digest(records: Sequence[MatchRecord]) -> str:
    """Which model answered is not part of it: locally, none did."""
    ordered = sorted(records, key=lambda record: record.entry.match)
    zeroed = [
        MatchRecord(
            record.entry,
            {
                name: np.zeros_like(values) if name in ("version", "weights") else values
                for name, values in record.columns.items()
            },
            {},
        )
        for record in ordered
    ]
    return hashlib.sha256(encode_rows(zeroed)).hexdigest()


def _show(parallel: int, found: dict[Way, list[Round]]) -> None:
    local = [each.ticks / each.seconds for each in found[WAYS[0]]]
    rows = []
    for way, played in found.items():
        speeds = [each.ticks / each.seconds for each in played]
        ratio = median(speed / here for speed, here in zip(speeds, local, strict=True))
        row = [way.name, f"{median(speeds):.0f}", f"{ratio:.3f}"]
        if way.wire is not None:
            row += [
                f"{median(each.asked_ms for each in played):.2f}",
                f"{median(each.server_ms / each.asked_ms for each in played):.0%}",
                f"{median(each.server_cpu_s / each.seconds for each in played):.0%}",
                f"{median(each.batch for each in played):.1f}",
            ]
        rows.append([*row, *[""] * (7 - len(row))])
    show(
        f"{parallel} matches at once",
        ("", "ticks/s", "of local", "ms a decision", "of it in the server's queue and runs",
         "server's CPU of the time", "rows a run"),
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
