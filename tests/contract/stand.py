"""A model for each thing that the cases ask about."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from onnxd.tensors import Datatype
from tests.support import graphs
from tests.support.server import SHIPPED, RunningServer, publish

DIMS: Final[dict[str, tuple[str, ...]]] = {"scalar": (), "vector": ("n",), "cube": ("a", "b", "c")}
"""The shapes of the models `every_...`, `typed_...` and `bf16_...`."""

TYPED: Final = tuple(datatype for datatype in Datatype if datatype not in (Datatype.FP16, Datatype.BF16))
"""What the models `typed_...` take: the datatypes that can be sent as something other than bytes."""

ROW: Final = np.array([[1, 2, 3, 4]], np.float32)
"""One row of the models `rows`, `pair`, `versions`, `optional` and `comes_and_goes`."""


def _models() -> dict[str, tuple[dict[int, bytes], str | None]]:
    """By name, the graph of each version, and the config."""
    alone: dict[str, bytes] = {
        **{f"every_{form}": graphs.every_datatype(dims) for form, dims in DIMS.items()},
        **{f"typed_{form}": graphs.every_datatype(dims, TYPED) for form, dims in DIMS.items()},
        **{f"bf16_{form}": graphs.identity(Datatype.BF16, dims) for form, dims in DIMS.items()},
        "comes_and_goes": graphs.add_one(),
        "scalar": graphs.scalar(),
        "free": graphs.add_one(("n",)),
        "text": graphs.identity(Datatype.BYTES, ("n",)),
        "truth": graphs.identity(Datatype.BOOL, ("n",)),
        "half": graphs.identity(Datatype.FP16, ("n",)),
        "bytes_of_eight": graphs.identity(Datatype.UINT8, ("n",)),
        "whole": graphs.identity(Datatype.INT64, ("n",)),
        "quotient": graphs.int_div(),
        "lookup": graphs.gather(),
        "broken": b"this is no graph",
    }
    return {
        **{name: ({1: graph}, None) for name, graph in alone.items()},
        "grid": ({1: graphs.add_one(("n", "m"))}, "max_batch_size: 0\n"),
        "rows": ({1: graphs.add_one()}, "max_batch_size: 8\n"),
        "pair": ({1: graphs.two_inputs()}, "max_batch_size: 8\n"),
        "optional": ({1: graphs.optional_initializer()}, "inputs:\n  - {name: bias, optional: true}\n"),
        "versions": ({number: graphs.version_constant(number) for number in (1, 2)}, "versions: all\n"),
    }


def fill(repository: Path, names: Iterable[str]) -> None:
    """Put these models there: those above, and `digits` as it is shipped."""
    known = _models()
    for name in names:
        if name == "digits":
            shutil.copytree(SHIPPED / name, repository / name)
            continue
        versions, config = known[name]
        for number, graph in versions.items():
            publish(repository, name, number, graph, config)


async def settle(server: RunningServer) -> None:
    """Wait until everything that can serve does, in all its versions."""
    for path in sorted(server.repository.iterdir()):
        if path.name != "broken":
            for version in path.glob("[0-9]*"):
                await server.ready(path.name, int(version.name))
