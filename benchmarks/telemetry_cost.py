"""What telemetry costs: CPU of the server for a request, with it and without.

    python -m benchmarks.telemetry_cost [--short] [--rounds N] [--seconds N] [--in-flight N]

Servers that differ in nothing else are up on one core, and each round visits every one of them once, so that
what the machine does meanwhile meets them all alike: use the ratios. `untold` records and tells nothing;
`default` is the server as it comes, scraped as the others are; `logged` writes a line for every request, as
JSON; `traced` is `default` with one request in a hundred traced, and those that are slow besides; `all
traced` has no other use than to show what one trace costs; `collector away` traces one in a hundred to a
collector that never answers. The goals: `logged` to `untold` under 5 %, `traced` to `default` under 3 %.

Exits 1 when a request failed. Ratios are medians over the rounds of the ratio within a round.
"""

import argparse
import contextlib
import http.client
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks import models
from benchmarks.harness import LOAD_CORE, SERVER_CORE, Running, baseline, on_core, scratch, server
from benchmarks.load import notes, run_load
from benchmarks.payloads import Payload, ask_http, payload
from benchmarks.table import show

WIRES: Final = ("http binary", "grpc")
GOALS: Final = {"logged": ("untold", 0.05), "traced": ("default", 0.03)}
ORDER: Final = ("untold", "default", "logged", "traced", "all traced", "collector away")
_AGAINST: Final = {
    "untold": "untold", "default": "untold", "logged": "untold", "traced": "default", "all traced": "default",
    "collector away": "default",
}  # fmt: skip
_SERIAL: Final = 400
"""Requests one after the other, of which the latencies are taken."""

Figures = dict[tuple[str, str], list[float]]
"""CPU microseconds of a request, by server and wire, one for each round."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="5 rounds: about two minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=1, help="of each server and wire in a round")
    parser.add_argument("--in-flight", type=int, default=32)
    options = parser.parse_args()
    rounds: int = options.rounds or (5 if options.short else 15)
    failed = 0
    cpu: Figures = {}
    latencies: dict[str, list[list[float]]] = {}
    with ExitStack() as resources:
        directory = resources.enter_context(scratch())
        targets = dict(resources.enter_context(_servers(directory)))
        asked = {wire: payload(wire, "identity", 4) for wire in WIRES}
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            # Every other round the other way round: what comes first has no advantage.
            for name in ORDER if number % 2 else reversed(ORDER):
                for wire in WIRES:
                    used, wrong = _loaded(
                        targets[name], asked[wire], options.in_flight, options.seconds, directory
                    )
                    cpu.setdefault((name, wire), []).append(used)
                    failed += wrong
                latencies.setdefault(name, []).append(_serial(targets[name], asked["http binary"]))
    for note in notes():
        print(note)
    _report(cpu, latencies)
    if failed:
        print(f"{failed} requests failed")
    return 1 if failed else 0


@contextlib.contextmanager
def _servers(directory: Path) -> Iterator[dict[str, Running]]:
    repository = directory / "models"
    models.publish(repository, "identity", models.identity(), models.BATCHED)
    with ExitStack() as resources, socket.create_server(("127.0.0.1", 0)) as silent:
        sink = resources.enter_context(baseline("otlp_sink"))
        to_sink = ("--tracing-endpoint", f"http://127.0.0.1:{sink.grpc_port}", "--tracing-sample-ratio")
        away = ("--tracing-endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}", "--tracing-sample-ratio")
        arguments: dict[str, tuple[str, ...]] = {
            "untold": (),
            "default": (),
            "logged": ("--log-access", "1.0", "--log-format", "json"),
            "traced": (*to_sink, "0.01"),
            "all traced": (*to_sink, "1.0"),
            "collector away": (*away, "0.01"),
        }
        yield {
            name: resources.enter_context(
                server(
                    repository,
                    directory / name.replace(" ", "-"),
                    *arguments[name],
                    core=SERVER_CORE,
                    program="benchmarks.untold_server" if name == "untold" else "onnxd",
                )
            )
            for name in ORDER
        }


def _loaded(
    target: Running, asked: Payload, in_flight: int, seconds: int, directory: Path
) -> tuple[float, int]:
    """CPU microseconds of a request, and how many failed. A scrape is among what it costs."""
    before_s = target.cpu_s()
    result = run_load(target.port_of(asked.wire), asked, in_flight, seconds, directory)
    _scrape(target)
    used_s = target.cpu_s() - before_s
    return used_s / max(result.requests, 1) * 1e6, result.failed


def _scrape(target: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", target.http_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        connection.getresponse().read()


def _serial(target: Running, asked: Payload) -> list[float]:
    """Latencies in microseconds, of requests one after the other."""
    took = []
    with on_core(LOAD_CORE):
        for _ in range(_SERIAL):
            began_s = perf_counter()
            ask_http(target.http_port, asked)
            took.append((perf_counter() - began_s) * 1e6)
    return sorted(took)


def _report(cpu: Figures, latencies: dict[str, list[list[float]]]) -> None:
    rows = []
    for name in ORDER:
        row = [name]
        for wire in WIRES:
            against = _AGAINST[name]
            ratios = [mine / theirs for mine, theirs in zip(cpu[name, wire], cpu[against, wire], strict=True)]
            row += [f"{median(cpu[name, wire]):.1f}", f"{100 * (median(ratios) - 1):+.1f} % of {against}"]
        p99 = median(each[int(len(each) * 0.99)] for each in latencies[name])
        p99_there = median(each[int(len(each) * 0.99)] for each in latencies[_AGAINST[name]])
        row += [f"{p99:.0f}", f"{100 * (p99 / p99_there - 1):+.1f} %"]
        rows.append(row)
    columns = ["server"]
    for wire in WIRES:
        columns += [f"{wire}: us CPU", "more"]
    show(
        "CPU of a request, all threads of the server; p99 of requests one by one",
        [*columns, "p99 us", "more"],
        rows,
    )
    for name, (against, goal) in GOALS.items():
        for wire in WIRES:
            ratios = [mine / theirs for mine, theirs in zip(cpu[name, wire], cpu[against, wire], strict=True)]
            more = median(ratios) - 1
            print(
                f"{name} over {wire}: {100 * more:+.1f} % of {against}, goal {100 * goal:.0f} %: "
                f"{'met' if more < goal else 'not met'}"
            )


if __name__ == "__main__":
    sys.exit(main())
