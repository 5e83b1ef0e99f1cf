"""How often the bytes of a large tensor are in the server's memory at once.

    python -m benchmarks.copies [--short] [--server FLAGS]

A request with 600 KB in and as many out (identity), one at a time, over each wire. Where nothing is
copied they are there twice: as they came, and as the model gave them. The figure is the most at one
moment of a request, in tensors of 600 KB, the median of several requests. It is a lower bound of the
copies: those that are dropped before the next is made do not show, nor does memory of C and C++
libraries. Exits 1 when a request failed; what is over MOST is printed as missed.
"""

import argparse
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import Payload, ask_grpc, ask_http, ask_stream, payload
from benchmarks.table import show

WIDTH: Final = 3 * 224 * 224
MOST: Final = 4.0
"""One copy on each side beyond the two that there have to be."""
_WIRES: Final = ("http binary", "grpc", "grpc stream")
_TRIES: Final = 200


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="3 requests over each wire")
    parser.add_argument("--server", default="", metavar="FLAGS", help="of `onnxd serve`, in one word")
    options = parser.parse_args()
    times = 3 if options.short else 15
    rows = []
    with scratch() as directory:
        traced = directory / "traced"
        models.publish(directory / "models", "identity", models.identity(WIDTH), models.BATCHED)
        with server(
            directory / "models",
            directory / "state",
            *shlex.split(options.server),
            program="benchmarks.traced_server",
            TRACED=str(traced),
        ) as running:
            for wire in _WIRES:
                held = median(_held(running, payload(wire, "identity", WIDTH), times, traced))
                rows.append([wire, f"{held:.2f}", f"<= {MOST:g}", "reached" if held <= MOST else "missed"])
    show(
        f"tensors of 600 KB in memory at once {options.server}", ["wire", "tensors", "bound", "verdict"], rows
    )
    return 0


def _held(running: Running, asked: Payload, times: int, traced: Path) -> list[float]:
    _ask(running, asked)  # the first one of a wire has more to do
    held = []
    for _ in range(times):
        _read(running, traced)
        _ask(running, asked)
        held.append(_read(running, traced) / (4 * WIDTH))
    return held


def _ask(running: Running, asked: Payload) -> None:
    """Raises what makes an answer no answer."""
    if asked.wire == "http binary":
        status, body = ask_http(running.http_port, asked)
        if status != 200:
            raise RuntimeError(f"status {status}: {body[:500]!r}")
        return
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        if (
            len(ask_stream(channel, asked) if asked.wire == "grpc stream" else ask_grpc(channel, asked))
            < WIDTH
        ):
            raise RuntimeError(f"a short answer over {asked.wire}")


def _read(running: Running, traced: Path) -> int:
    traced.unlink(missing_ok=True)
    os.kill(running.pid, signal.SIGUSR2)
    for _ in range(_TRIES):
        if traced.exists():
            return int(traced.read_text())
        time.sleep(0.02)
    raise RuntimeError("the server did not write what it holds")


if __name__ == "__main__":
    sys.exit(main())
