"""How long after an ONNX file was copied into a running server's repository the model answers.

    python -m benchmarks.hot_load [--short] [--drops N]

The server runs with its default settings. A drop is a plain copy, with no rename at the end, as people do it:
mkdir, cp; each of an MLP 784-256-10 with weights of its own. The clock starts before the copy, and stops when
both protocols have answered. The first drop meets a server without a trial process, as does each after a long
pause; the others meet one that is still there. Then models whose nodes do not prove that rows are
independent, so that made-up rows are run, beside the same with `verify: off`. Exits 1 when the worst drop
took more than 2 s.
"""

import argparse
import contextlib
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import Payload, ask_grpc, ask_http, output_of, payload
from benchmarks.table import show

LIMIT_S: Final = 2.0
_SECONDS: Final = re.compile(r"seconds\W+([0-9.]+)")
_GIVE_UP_S: Final = 30.0
_POLL_S: Final = 0.005
_IDLE_S: Final = 12.0
"""Longer than the server keeps an idle trial process (10 s)."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Seconds from before the copy to the first answer."""

    after: str
    """What the server had been doing before."""
    http_s: float
    grpc_s: float

    @property
    def both_s(self) -> float:
        return max(self.http_s, self.grpc_s)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="5 drops, one of them cold")
    parser.add_argument("--drops", type=int)
    options = parser.parse_args()
    drops: int = options.drops or (5 if options.short else 20)
    cold = {0} if options.short else {0, drops // 2, drops - 1}
    measured = measure(drops, cold)
    rows = [
        [kind, str(len(times)), *(f"{figure:.2f}" for figure in (median(times), max(times)))]
        for kind in ("a pause (no trial process)", "another drop")
        for times in [[drop.both_s for drop in measured if drop.after == kind]]
        if times
    ]
    show(
        "seconds until a copied model answers over both protocols",
        ["after", "drops", "median", "worst"],
        rows,
    )
    for wire, times in (
        ("HTTP", [drop.http_s for drop in measured]),
        ("gRPC", [drop.grpc_s for drop in measured]),
    ):
        print(f"{wire}: median {median(times):.2f} s, worst {max(times):.2f} s")
    probed, unprobed = measure_probe(3 if options.short else 10)
    print(
        f"loading with the probe of rows: median {probed.load_s:.3f} s, {unprobed.load_s:.3f} s without, "
        f"ratio {probed.load_s / unprobed.load_s:.2f}; until the answer, "
        f"ratio {probed.both_s / unprobed.both_s:.2f}"
    )
    measured += [probed.worst, unprobed.worst]
    worst_s = max(drop.both_s for drop in measured)
    print(f"worst of {drops}: {worst_s:.2f} s (at most {LIMIT_S} s)")
    if worst_s > LIMIT_S:
        print("MISS: a copied model took longer")
        return 1
    return 0


def measure(drops: int, cold: set[int]) -> list[Drop]:
    """Drop so many models; before those of `cold`, leave the server alone until its trial process is gone."""
    with scratch() as directory:
        repository = directory / "models"
        repository.mkdir()
        with (
            server(repository, directory / "state") as running,
            grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel,
        ):
            found = []
            for number in range(drops):
                source = directory / "source.onnx"
                source.write_bytes(models.mlp(seed=number))
                if number in cold and number:
                    time.sleep(_IDLE_S)
                after = "a pause (no trial process)" if number in cold else "another drop"
                found.append(_drop(running, channel, source, repository / f"dropped-{number}", after))
            return found


@dataclass(frozen=True, slots=True)
class Probed:
    """Medians of some drops, and the worst of them."""

    load_s: float
    """As the server logs it."""
    both_s: float
    worst: Drop


def measure_probe(drops: int) -> tuple[Probed, Probed]:
    """With the probe of rows, and without; in turn, on one server whose trial process is there."""
    configs = {"with": None, "without": 'max_batch_size: 32\nbatching: {verify: "off"}\n'}
    with scratch() as directory:
        repository = directory / "models"
        repository.mkdir()
        with (
            server(repository, directory / "state") as running,
            grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel,
        ):
            found: dict[str, list[Drop]] = {kind: [] for kind in configs}
            for number in range(-1, drops):  # the first meets no trial process
                for kind, config in configs.items():
                    source = directory / "source.onnx"
                    source.write_bytes(models.folded(seed=number + 1))
                    model = repository / f"{kind}-{number + 1}"
                    drop = _drop(running, channel, source, model, kind, config)
                    if number >= 0:
                        found[kind].append(drop)
        log = (directory / "state.log").read_text()
    return _probed(found["with"], "with", log), _probed(found["without"], "without", log)


def _probed(drops: list[Drop], kind: str, log: str) -> Probed:
    lines = [line for line in log.splitlines() if f"{kind}-" in line and "loaded" in line]
    seconds = [float(match[1]) for line in lines if (match := _SECONDS.search(line))]
    return Probed(
        load_s=median(seconds[1:]),
        both_s=median(drop.both_s for drop in drops),
        worst=max(drops, key=lambda drop: drop.both_s),
    )


def _drop(
    running: Running,
    channel: grpc.Channel,
    source: Path,
    model: Path,
    after: str,
    config: str | None = None,
) -> Drop:
    asked = {wire: payload(wire, model.name, 784) for wire in ("http binary", "grpc")}
    answered: dict[str, float] = {}
    start_s = time.monotonic()
    (model / "1").mkdir(parents=True)
    if config is not None:
        (model / "config.yaml").write_text(config)
    shutil.copyfile(source, model / "1" / "model.onnx")
    while len(answered) < len(asked):
        for wire, request in asked.items():
            if wire not in answered and _answers(running, channel, request):
                answered[wire] = time.monotonic() - start_s
        if time.monotonic() - start_s > _GIVE_UP_S:
            raise RuntimeError(f"{model.name} did not answer within {_GIVE_UP_S} s")
        time.sleep(_POLL_S)
    return Drop(after, answered["http binary"], answered["grpc"])


def _answers(running: Running, channel: grpc.Channel, request: Payload) -> bool:
    if request.wire == "grpc":
        with contextlib.suppress(grpc.RpcError):  # not there yet
            return len(output_of(ask_grpc(channel, request))) == 10
        return False
    return ask_http(running.http_port, request)[0] == 200


if __name__ == "__main__":
    sys.exit(main())
