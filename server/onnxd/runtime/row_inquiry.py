"""What is asked of the child about the independence of rows, and as JSON for the pipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from onnxd.runtime.made_up import RowInput
from onnxd.tensors import Datatype

METHOD: Final = 1
"""Counted up when a verdict of old would no longer be given: old ones are then forgotten."""


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """What a model takes and gives, without the first dimension, which is the rows'."""

    inputs: tuple[RowInput, ...]
    outputs: Mapping[str, Datatype]
    max_rows: int


def question_to_json(question: RowQuestion) -> dict[str, Any]:
    return {
        "inputs": [
            [tensor.name, tensor.datatype.value, list(tensor.shape), list(tensor.dim_names)]
            for tensor in question.inputs
        ],
        "outputs": {name: datatype.value for name, datatype in question.outputs.items()},
        "max_rows": question.max_rows,
    }


def question_from_json(document: Mapping[str, Any], bounds: Mapping[str, int]) -> RowQuestion:
    return RowQuestion(
        inputs=tuple(
            RowInput(name, Datatype(datatype), tuple(shape), tuple(names), bounds.get(name))
            for name, datatype, shape, names in document["inputs"]
        ),
        outputs={name: Datatype(datatype) for name, datatype in document["outputs"].items()},
        max_rows=document["max_rows"],
    )
