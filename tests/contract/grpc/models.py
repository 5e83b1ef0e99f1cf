"""The models of the whole server."""

from pathlib import Path

import onnx.helper

from onnxd.tensors import Datatype
from tests.support import graphs
from tests.support.server import publish

RANKS = {"scalar": (), "vector": ("n",), "cube": ("a", "b", "c")}
BATCHED = "max_batch_size: 8\n"
OPTIONAL = "inputs:\n  - {name: bias, optional: true}\n"
LABELLED = "max_batch_size: 8\noutputs:\n  - {name: y, labels: labels.txt}\n"


def publish_all(repository: Path) -> None:
    for datatype in Datatype:
        publish(repository, f"all_{datatype.value.lower()}", 1, _identities(datatype))
    publish(repository, "identity", 1, graphs.identity(), BATCHED)
    publish(repository, "pair", 1, graphs.two_inputs(), BATCHED)
    publish(repository, "optional", 1, graphs.optional_initializer(), OPTIONAL)
    publish(repository, "mean", 1, graphs.row_mean(), BATCHED)
    publish(repository, "gather", 1, graphs.gather())
    publish(repository, "slow", 1, graphs.slow_always(20_000))
    publish(repository, "versions", 1, graphs.version_constant(1), "versions: all\n")
    publish(repository, "versions", 3, graphs.version_constant(3))
    publish(repository, "versions", 7, b"no model at all")
    publish(repository, "broken", 1, b"no model at all")
    (repository / "labelled").mkdir()
    (repository / "labelled" / "labels.txt").write_text("zero\none\ntwo\nthree\n")
    publish(repository, "labelled", 1, graphs.identity(), LABELLED)


def _identities(datatype: Datatype) -> bytes:
    """An output <rank>_out for each input <rank>: scalar, vector, cube."""
    return graphs.model(
        [onnx.helper.make_node("Identity", [rank], [f"{rank}_out"]) for rank in RANKS],
        [graphs.tensor(rank, datatype, dims) for rank, dims in RANKS.items()],
        [graphs.tensor(f"{rank}_out", datatype, dims) for rank, dims in RANKS.items()],
    )
