"""How long the server's loop stands still: at rest, under load, beside large JSON, and while a big model
comes and goes.

    python -m benchmarks.stalls [--short] [--megabytes N]

A health request is sent every 2 ms on one connection; while the loop is blocked it waits, so the longest wait
of a phase is its longest stall, plus what the machine itself takes: compare with the phase at rest. Exits 1
when a request failed or a phase has no samples. Stalls are printed, not judged: on a shared machine the
longest wait of a minute says more of the neighbours than of the server.
"""

import argparse
import http.client
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Final

from benchmarks import models
from benchmarks.harness import LOAD_CORE, Running, on_core, scratch, server
from benchmarks.load import run_load
from benchmarks.payloads import Payload, ask_http, payload
from benchmarks.table import show

STALL_MS: Final = 50.0
_EVERY_S: Final = 0.002
_FEWEST: Final = 20
"""Samples of a phase that say anything."""
_MIDDLE: Final = (256, 2048, 2048, 256)
"""A model that runs for milliseconds, so never on the loop."""
_TIMEOUT_S: Final = 30.0
_ECHO: Final = "/v2/models/echo/infer"


@dataclass(slots=True)
class Probe:
    """Sends health requests from a thread of its own, and keeps how long each took."""

    port: int
    waits_ms: dict[str, list[float]] = field(default_factory=dict)
    """By phase, in their order."""
    failed: int = 0
    """Requests, of the load too."""
    _into: list[float] = field(default_factory=list)
    _stopping: bool = False

    def enter(self, phase: str) -> None:
        """What is measured from now on belongs to this phase."""
        self._into = self.waits_ms.setdefault(phase, [])

    def run(self) -> None:
        with on_core(LOAD_CORE):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
            while not self._stopping:
                into, start_s = self._into, time.monotonic()
                connection.request("GET", "/v2/health/live")
                answer = connection.getresponse()
                answer.read()
                self.failed += answer.status != 200
                into.append((time.monotonic() - start_s) * 1e3)
                time.sleep(_EVERY_S)
            connection.close()

    def stop(self) -> None:
        self._stopping = True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a model of 64 MiB instead of 256")
    parser.add_argument("--megabytes", type=int)
    options = parser.parse_args()
    probe = measure(options.megabytes or (64 if options.short else 256), seconds=3)
    rows = [
        [
            phase,
            str(len(waits)),
            f"{median(waits):.2f}",
            f"{quantiles(waits, n=100)[-1]:.1f}",
            f"{max(waits):.1f}",
            str(sum(wait > STALL_MS for wait in waits)),
        ]
        for phase, waits in probe.waits_ms.items()
        if len(waits) >= _FEWEST
    ]
    columns = ["while", "probes", "median ms", "99th", "longest", f"over {STALL_MS:.0f} ms"]
    show("waits of a health request", columns, rows)
    misses = [f"{probe.failed} requests failed"] if probe.failed else []
    misses += [f"no samples while {phase}" for phase, waits in probe.waits_ms.items() if len(waits) < _FEWEST]
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def measure(megabytes: int, seconds: int) -> Probe:
    """Walk through the phases."""
    with scratch() as directory:
        repository = directory / "models"
        models.publish(repository, "mlp", models.mlp(), models.BATCHED)
        models.publish(repository, "echo", models.identity())
        models.publish(repository, "middle", models.mlp(sizes=_MIDDLE), models.BATCHED)
        width = int((megabytes * 2**18 / 8) ** 0.5)
        big = directory / "big.onnx"
        big.write_bytes(models.mlp(sizes=[width] * 9))
        with server(repository, directory / "state") as running, _probing(running) as probe:
            probe.enter("at rest")
            time.sleep(seconds)
            for model, columns in (("mlp", 784), ("middle", _MIDDLE[0])):
                for wire in ("http binary", "grpc"):
                    probe.enter(f"{model} over {wire}, 64 in flight")
                    asked = payload(wire, model, columns)
                    probe.failed += run_load(running.port_of(wire), asked, 64, seconds, directory).failed
            for name, body in _large_json(60 * 2**20).items():
                probe.enter(name)
                for _ in range(2):
                    status, _ = ask_http(running.http_port, Payload("http json", _ECHO, body), _TIMEOUT_S)
                    probe.failed += status not in (200, 400)
            for _ in range(2):
                probe.enter(f"{megabytes} MiB load")
                (repository / "big" / "1").mkdir(parents=True)
                shutil.copyfile(big, repository / "big" / "1" / "model.onnx")
                _until(running, width, serving=True)
                probe.enter(f"{megabytes} MiB unload")
                shutil.rmtree(repository / "big")
                _until(running, width, serving=False)
                time.sleep(2)
        return probe


def _large_json(size: int) -> dict[str, bytes]:
    """Bodies of that many bytes: one is answered as it came, one is slow to read and refused."""
    frame = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d,4],"data":[%s]}]}'
    rows = size // 16
    return {
        "60 MiB of JSON numbers": frame % (rows, b",".join([b"0.5,0.5,0.5,0.5"] * rows)),
        "60 MiB of empty JSON arrays": frame % (1, b",".join([b"[]"] * (size // 3))),
    }


@contextmanager
def _probing(running: Running) -> Iterator[Probe]:
    probe = Probe(running.http_port)
    thread = threading.Thread(target=probe.run)
    thread.start()
    try:
        yield probe
    finally:
        probe.stop()
        thread.join()


def _until(running: Running, width: int, *, serving: bool) -> None:
    asked = payload("http binary", "big", width)
    end_s = time.monotonic() + _TIMEOUT_S
    while (ask_http(running.http_port, asked)[0] == 200) is not serving:
        if time.monotonic() > end_s:
            raise RuntimeError(f"the big model was not {'there' if serving else 'gone'} after {_TIMEOUT_S} s")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
