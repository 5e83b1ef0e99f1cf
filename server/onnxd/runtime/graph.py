"""What a model file says of itself: its inputs, outputs and optional inputs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxd.errors import LoadFailed
from onnxd.runtime.graph_file import read_graph
from onnxd.tensors import Datatype

_TENSOR: Final = re.compile(r"tensor\((\w+)\)")
_DATATYPES: Final[Mapping[str, Datatype]] = {
    "bool": Datatype.BOOL,
    "int8": Datatype.INT8,
    "int16": Datatype.INT16,
    "int32": Datatype.INT32,
    "int64": Datatype.INT64,
    "uint8": Datatype.UINT8,
    "uint16": Datatype.UINT16,
    "uint32": Datatype.UINT32,
    "uint64": Datatype.UINT64,
    "float16": Datatype.FP16,
    "bfloat16": Datatype.BF16,
    "float": Datatype.FP32,
    "double": Datatype.FP64,
    "string": Datatype.BYTES,
}


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """One input or output as the graph declares it, batch dimension included."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """-1 = a free dimension. Empty for a scalar, and where `rank_known` is False."""
    dim_names: tuple[str | None, ...] = ()
    """One for each dimension: the symbol of a free dimension that has one. Equal symbols mean equal sizes."""
    rank_known: bool = True
    """False: the graph does not even say how many dimensions there are, so any shape may fit."""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A model's inputs and outputs, in the order of its graph."""

    inputs: tuple[GraphTensor, ...]
    """The required ones."""
    outputs: tuple[GraphTensor, ...]
    optional: tuple[GraphTensor, ...] = ()
    """Inputs with a default in the graph (initializers that may be overridden)."""


def describe(
    inputs: Sequence[Any], outputs: Sequence[Any], initializers: Sequence[Any], path: Path
) -> GraphSpec:
    """The GraphSpec of ONNX Runtime's NodeArgs (`name`, `type`, `shape`).

    Raises LoadFailed naming an input or output that is not a tensor (a sequence, map, optional or sparse
    tensor) or whose element type the protocol does not have. `path` is read again, only for its graph, when
    a tensor looks like a scalar: ONNX Runtime shows a shape of unknown rank in the same way.
    """
    arguments = (*inputs, *outputs, *initializers)
    rankless = _rankless(path) if any(not argument.shape for argument in arguments) else frozenset()
    return GraphSpec(
        tuple(_tensor("input", argument, rankless) for argument in inputs),
        tuple(_tensor("output", argument, rankless) for argument in outputs),
        tuple(_tensor("input", argument, rankless) for argument in initializers),
    )


def _tensor(role: str, argument: Any, rankless: frozenset[str]) -> GraphTensor:
    match = _TENSOR.fullmatch(argument.type)
    if match is None:
        raise LoadFailed(f"{role} '{argument.name}' is a {argument.type}: only tensors can be served")
    if match[1] not in _DATATYPES:
        raise LoadFailed(
            f"{role} '{argument.name}' has elements of type {match[1]}, which the protocol cannot carry; "
            f"cast it in the graph to one of {', '.join(datatype.value for datatype in Datatype)}"
        )
    return GraphTensor(
        name=argument.name,
        datatype=_DATATYPES[match[1]],
        shape=tuple(size if isinstance(size, int) and size >= 0 else -1 for size in argument.shape),
        dim_names=tuple(size if isinstance(size, str) and size else None for size in argument.shape),
        rank_known=argument.name not in rankless,
    )


def _rankless(path: Path) -> frozenset[str]:
    """Names of the graph's inputs and outputs that have no shape at all."""
    model = read_graph(path)
    if model is None:
        return frozenset()
    return frozenset(
        info.name
        for info in (*model.graph.input, *model.graph.output)
        if not info.type.tensor_type.HasField("shape")
    )


def graph_to_json(graph: GraphSpec) -> dict[str, Any]:
    """For the pipe between the server and the process that tries models first."""
    return {
        part: [
            {
                "name": tensor.name,
                "datatype": tensor.datatype.value,
                "shape": list(tensor.shape),
                "dim_names": list(tensor.dim_names),
                "rank_known": tensor.rank_known,
            }
            for tensor in getattr(graph, part)
        ]
        for part in ("inputs", "outputs", "optional")
    }


def graph_from_json(document: Mapping[str, Any]) -> GraphSpec:
    """The inverse of graph_to_json. Raises KeyError, TypeError or ValueError for anything else."""
    return GraphSpec(
        *(
            tuple(
                GraphTensor(
                    name=str(tensor["name"]),
                    datatype=Datatype(tensor["datatype"]),
                    shape=tuple(int(size) for size in tensor["shape"]),
                    dim_names=tuple(None if name is None else str(name) for name in tensor["dim_names"]),
                    rank_known=bool(tensor["rank_known"]),
                )
                for tensor in document[part]
            )
            for part in ("inputs", "outputs", "optional")
        )
    )
