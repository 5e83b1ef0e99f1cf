"""Operators on integers that say sizes, the number of rows among them.

What a graph calculates to shape its tensors: the number of rows may be moved and compared with what it
cannot be; whatever else is calculated with it depends on the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from onnxd.runtime.rowwise.operation import Operation, Rule, positive
from onnxd.runtime.rowwise.values import Counts, Dim, N, Tensor, Unproven, Value

_WIDE_INTEGERS: Final = frozenset({6, 7})
"""ONNX's numbers for INT32 and INT64."""


def _shape(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    start, end = op.integer("start", 0), op.integer("end", len(shape))
    return [Counts(shape[slice(start, end)])]


def _length(op: Operation) -> Sequence[Value]:
    counts = _counts(op, 0)
    return [Counts(() if counts.scalar else (len(counts.elements),))]


def _identity(op: Operation) -> Sequence[Value]:
    return [_counts(op, 0)]


def _cast(op: Operation) -> Sequence[Value]:
    """To other than wide integers, what is calculated further is not what this module calculates."""
    if op.integer("to", 0) not in _WIDE_INTEGERS:
        raise Unproven("calculates with the number of rows")
    return [_counts(op, 0)]


def _to_vector(op: Operation) -> Sequence[Value]:
    counts = _counts(op, 0)
    if not counts.scalar or op.axes(1, 1) != (0,):
        raise Unproven("shapes sizes")
    return [Counts(counts.elements)]


def _to_scalar(op: Operation) -> Sequence[Value]:
    counts = _counts(op, 0)
    if len(counts.elements) != 1:
        raise Unproven("shapes sizes")
    return [Counts(counts.elements, scalar=True)]


def _reshape(op: Operation) -> Sequence[Value]:
    counts = _counts(op, 0)
    target = op.integers(1)
    if target not in ((-1,), (len(counts.elements),)) and (target or len(counts.elements) != 1):
        raise Unproven("shapes sizes")
    return [Counts(counts.elements, scalar=not target)]


def _concat(op: Operation) -> Sequence[Value]:
    parts = [_counts(op, index) for index in range(op.count)]
    if any(part.scalar for part in parts):
        raise Unproven("shapes sizes")
    return [Counts(tuple(size for part in parts for size in part.elements))]


def _slice(op: Operation) -> Sequence[Value]:
    counts = _counts(op, 0)
    if op.opset < 10 or (op.given(3) and op.integers(3) not in ((0,), (-1,))):
        raise Unproven("shapes sizes")
    (start,), (end,), (step,) = op.integers(1), op.integers(2), op.integers(4) if op.given(4) else (1,)
    return [Counts(counts.elements[start:end:step])]


def _gather(op: Operation) -> Sequence[Value]:
    counts = _counts(op, 0)
    places = op.constant(1)
    if counts.scalar or places.ndim > 1:
        raise Unproven("shapes sizes")
    rank = len(counts.elements)
    picked = tuple(counts.elements[positive(int(place), rank)] for place in places.ravel())
    return [Counts(picked, scalar=places.ndim == 0)]


def _equal(op: Operation) -> Sequence[Value]:
    """The number of rows is at least 1, and that is all that is known of it."""
    left, right = _counts(op, 0), _counts(op, 1)
    pairs = _pairs(left, right)
    answers = []
    for one, other in pairs:
        if isinstance(one, int) and isinstance(other, int):
            answers.append(one == other)
        elif N in (one, other) and any(isinstance(size, int) and size < 1 for size in (one, other)):
            answers.append(False)
        else:
            raise Unproven("calculates with the number of rows")
    value = np.array(answers[0] if left.scalar and right.scalar else answers)
    return [Tensor(value.shape, value)]


def _where(op: Operation) -> Sequence[Value]:
    chosen = np.atleast_1d(op.constant(0)).ravel()
    left, right = _counts(op, 1), _counts(op, 2)
    pairs = _pairs(left, right)
    if len(pairs) != len(chosen):
        raise Unproven("shapes sizes")
    picked = tuple(one if first else other for first, (one, other) in zip(chosen, pairs, strict=True))
    return [Counts(picked, scalar=left.scalar and right.scalar and op.constant(0).ndim == 0)]


def _calculate(neutral: int | None, calculate: Callable[[int, int], int]) -> Rule:
    """`neutral`: what on the right leaves the left as it is."""

    def rule(op: Operation) -> Sequence[Value]:
        left, right = _counts(op, 0), _counts(op, 1)
        made: list[Dim] = []
        for one, other in _pairs(left, right):
            if isinstance(one, int) and isinstance(other, int):
                made.append(calculate(one, other))
            elif other is not N and one is not N:
                made.append(None)
            elif other == neutral:
                made.append(one)
            else:
                raise Unproven("calculates with the number of rows")
        return [Counts(tuple(made), scalar=left.scalar and right.scalar)]

    return rule


def _divide(one: int, other: int) -> int:
    if other == 0:
        raise Unproven("divides by zero")
    return int(one / other)


def _pairs(left: Counts, right: Counts) -> list[tuple[Dim, Dim]]:
    one, other = left.elements, right.elements
    length = max(len(one), len(other))
    if not all(len(side) in (1, length) for side in (one, other)):
        raise Unproven("shapes sizes")
    one, other = (side * length if len(side) == 1 else side for side in (one, other))
    return list(zip(one, other, strict=True))


def _counts(op: Operation, index: int) -> Counts:
    counts = op.counts(index)
    if counts is None:
        raise Unproven("calculates with the number of rows")
    return counts


RULES: Final[Mapping[str, Rule]] = {
    "Shape": _length,
    "Cast": _cast,
    "Identity": _identity,
    "Unsqueeze": _to_vector,
    "Squeeze": _to_scalar,
    "Reshape": _reshape,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "Equal": _equal,
    "Where": _where,
    "Add": _calculate(0, lambda one, other: one + other),
    "Sub": _calculate(0, lambda one, other: one - other),
    "Mul": _calculate(1, lambda one, other: one * other),
    "Div": _calculate(1, _divide),
}
"""For nodes of which an input is Counts."""
SHAPE: Final = _shape
