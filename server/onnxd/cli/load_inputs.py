"""Requests that nobody sent, for a load: each another one, as identical ones are answered together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from onnxd.cli.wanted import Wanted
from onnxd.runtime.made_up import RowInput, make_row, sizes
from onnxd.tensors import Array

Inputs = Mapping[str, Array]

_MOST_BYTES: Final = 256 * 2**20
_PLAUSIBLE: Final = 0
"""The first manner of making rows up."""


def candidates(wanted: Sequence[Wanted]) -> Iterator[Mapping[str, tuple[int, ...]]]:
    """Shapes of one row that the model may take, the likeliest first."""
    return sizes(_row_inputs(wanted))


def made_up(
    wanted: Sequence[Wanted], shapes: Mapping[str, tuple[int, ...]], rows: int, count: int
) -> list[Inputs]:
    """Up to `count` different requests of so many rows; fewer if they would fill the memory."""
    random = np.random.default_rng(0)
    inputs = _row_inputs(wanted)
    made: list[Inputs] = []
    size = 0
    for _ in range(count):
        each = [make_row(inputs, shapes, _PLAUSIBLE, random) for _ in range(rows)]
        request = {
            tensor.name: np.concatenate([row[tensor.name] for row in each])
            if tensor.batches
            else each[0][tensor.name][0]
            for tensor in wanted
        }
        size += sum(array.nbytes for array in request.values())
        if made and size > _MOST_BYTES:
            break
        made.append(request)
    return made


def _row_inputs(wanted: Sequence[Wanted]) -> list[RowInput]:
    return [RowInput(tensor.name, tensor.datatype, tensor.shape) for tensor in wanted]
