"""How often workers hold the weights of a model, by PSS: what several processes share counts in parts.

    python -m benchmarks.shared_weights [--mib N] [--workers N]

Four servers of workers, one after the other: weights in the graph's own file or beside it (external data),
with ONNX Runtime's prepacking and without. Shown is what all processes of the server hold beyond those of the
same server with a small model, and the same for anonymous memory, which is never shared between workers.
Exits 1 when weights that can be shared, beside the graph and not prepacked, are held more than 1.3 times.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import ask_http, payload
from benchmarks.table import show

_WIDTH: Final = 1024
_MOST_COPIES: Final = 1.3
_SETTLED_S: Final = 3.0
"""Then the processes in which models were tried have ended or hold nothing."""
_MIB: Final = 2**20
_ALL: Final = "Pss"
_OWN: Final = "Pss_Anon"


@dataclass(frozen=True, slots=True)
class Memory:
    """Of all processes of a server, in MiB."""

    all: float
    anonymous: float

    def beyond(self, other: "Memory") -> "Memory":
        return Memory(self.all - other.all, self.anonymous - other.anonymous)


def layered(directory: Path, mib: int, *, beside: bool) -> None:
    """A chain of matrix products whose weights have so many MiB, each its own."""
    layers = max(1, mib * _MIB // (_WIDTH * _WIDTH * 4))
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((random.standard_normal((_WIDTH, _WIDTH)) / 32).astype(np.float32), f"w{n}")
        for n in range(layers)
    ]
    names = ["x", *(f"y{layer}" for layer in range(1, layers)), "y"]
    nodes = [
        helper.make_node("MatMul", [last, f"w{n}"], [now])
        for n, (last, now) in enumerate(itertools.pairwise(names))
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", _WIDTH)) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "layered", ends[:1], ends[1:], weights)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    directory.mkdir(parents=True)
    onnx.save_model(
        built,
        directory / "model.onnx",
        save_as_external_data=beside,
        location="weights.bin",
        size_threshold=0,
    )


def processes_of(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes_of(int(child))


def held(pid: int) -> Memory:
    of = {_ALL: 0, _OWN: 0}
    for process in processes_of(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in of:
                of[name] += int(rest.split()[0])
    return Memory(of[_ALL] / 1024, of[_OWN] / 1024)


def measure(running: Running, model: str, width: int, workers: int) -> Memory:
    """After each worker has most likely answered: the workers share one port."""
    for _ in range(16 * workers):
        status, body = ask_http(running.http_port, payload("http binary", model, width))
        if status != 200:
            raise RuntimeError(f"status {status}: {body[:500]!r}")
    time.sleep(_SETTLED_S)
    return held(running.pid)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    flags = ("--workers", str(options.workers))
    found: dict[tuple[bool, bool], Memory] = {}
    with scratch() as directory:
        models.publish(directory / "small", "identity", models.identity())
        with server(directory / "small", directory / "state-small", *flags) as running:
            small = measure(running, "identity", 4, options.workers)
        for beside, packed in itertools.product((False, True), (True, False)):
            name = f"models-{beside}-{packed}"
            layered(directory / name / "large" / "1", options.mib, beside=beside)
            if not packed:
                config = 'session: {options: {session.disable_prepacking: "1"}}\n'
                (directory / name / "large" / "config.yaml").write_text(config)
            with server(directory / name, directory / f"state-{name}", *flags) as running:
                found[beside, packed] = measure(running, "large", _WIDTH, options.workers).beyond(small)
    rows = [
        [
            "beside the graph" if beside else "in the graph's file",
            "yes" if packed else "no",
            f"{memory.all:.0f}",
            f"{memory.anonymous:.0f}",
            f"{memory.all / options.mib:.2f}",
        ]
        for (beside, packed), memory in found.items()
    ]
    columns = ["weights", "prepacked", "PSS MiB", "anonymous MiB", "copies"]
    show(f"{options.mib} MiB of weights, {options.workers} workers", columns, rows)
    copies = found[True, False].all / options.mib
    if copies > _MOST_COPIES:
        print(f"MISS: {copies:.2f} copies of weights that can be shared")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
