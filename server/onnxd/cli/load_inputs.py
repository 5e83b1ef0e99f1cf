"""Requests that nobody sent, for a load: each another one, as identical ones are answered together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from onnxd.cli.wanted import Wanted
from onnxd.runtime.made_up import MANNERS, RowInput, make_row, sizes
from onnxd.tensors import Array

Inputs = Mapping[str, Array]

_MOST_BYTES: Final = 256 * 2**20
_MANNERS: Final = (0, MANNERS - 1)
"""The plausible one, and one whose integers are 0 and 1, for models that look things up."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way in which requests may be made up."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of one row."""
    manner: int


def candidates(wanted: Sequence[Wanted]) -> Iterator[Candidate]:
    """What the model may take, the likeliest first."""
    for manner in _MANNERS:
        for shapes in sizes(_row_inputs(wanted)):
            yield Candidate(shapes, manner)


def made_up(wanted: Sequence[Wanted], candidate: Candidate, rows: int, count: int) -> list[Inputs]:
    """Up to `count` different requests of so many rows; fewer if they would fill the memory."""
    random = np.random.default_rng(0)
    inputs = _row_inputs(wanted)
    made: list[Inputs] = []
    size = 0
    for _ in range(count):
        each = [make_row(inputs, candidate.shapes, candidate.manner, random) for _ in range(rows)]
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
