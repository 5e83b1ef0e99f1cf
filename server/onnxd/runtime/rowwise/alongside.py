"""Operators that work along axes: right where none of these is the rows'."""

from collections.abc import Mapping, Sequence
from typing import Final

from onnxd.runtime.rowwise.operation import Operation, Rule, positive, row_axis
from onnxd.runtime.rowwise.values import Dim, N, Shape, Tensor, Unproven, Value, across

_REDUCTIONS: Final = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_SOFTMAX_ALONG_ONE_SINCE: Final = 13


def _check(shape: Shape, axes: Sequence[int], does: str) -> None:
    if any(shape[axis] is N for axis in axes):
        raise across(f"{does} along the rows")


def _reduce(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    axes = op.axes(1, len(shape))
    if not axes:
        if op.integer("noop_with_empty_axes", 0):
            return [Tensor(shape)]
        axes = tuple(range(len(shape)))
    _check(shape, axes, "reduces")
    return [Tensor(_without(shape, axes, op.integer("keepdims", 1)))]


def _arg(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    axis = positive(op.integer("axis", 0), len(shape))
    _check(shape, (axis,), "searches")
    return [Tensor(_without(shape, (axis,), op.integer("keepdims", 1)))]


def _without(shape: Shape, axes: Sequence[int], keepdims: int) -> Shape:
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _softmax(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    if op.opset >= _SOFTMAX_ALONG_ONE_SINCE:
        axes: Sequence[int] = (positive(op.integer("axis", -1), len(shape)),)
    else:
        axes = range(positive(op.integer("axis", 1), len(shape)), len(shape))
    _check(shape, axes, "normalises")
    return [Tensor(shape)]


def _from_axis_on(op: Operation) -> Sequence[Value]:
    """LayerNormalization and the like: over all axes from one on."""
    shape = op.shape(0)
    op.fixed_from(1)
    axis = positive(op.integer("axis", -1), len(shape))
    _check(shape, range(axis, len(shape)), "normalises")
    if any(len(op.shape(index)) > len(shape) - axis for index in range(1, op.count) if op.given(index)):
        raise Unproven("scales by the place in the batch")
    reduced = tuple(1 if at >= axis else size for at, size in enumerate(shape))
    return [Tensor(shape), *[Tensor(reduced)] * (op.outputs - 1)]


def _batch_norm(op: Operation) -> Sequence[Value]:
    if op.integer("training_mode", 0) or op.outputs > 1 or op.opset < 7:
        raise across("may normalise over the batch, as in training")
    return _per_channel(op)


def _per_channel(op: Operation) -> Sequence[Value]:
    """Each row has channels on its first axis, and whatever is fixed belongs to those."""
    shape = op.shape(0)
    op.fixed_from(1)
    if N in shape and (row_axis(shape) != 0 or len(shape) < 2):
        raise across("normalises along the rows")
    return [Tensor(shape)]


def _mean_variance(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    axes = op.integer_list("axes") or (0, 2, 3)
    _check(shape, [positive(axis, len(shape)) for axis in axes], "normalises")
    return [Tensor(shape)]


def _along_one(default: int) -> Rule:
    def rule(op: Operation) -> Sequence[Value]:
        shape = op.shape(0)
        _check(shape, (positive(op.integer("axis", default), len(shape)),), "normalises")
        return [Tensor(shape)]

    return rule


def _cumulate(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    _check(shape, [positive(axis, len(shape)) for axis in op.integers(1)], "cumulates")
    return [Tensor(shape)]


def _top(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    op.fixed_from(1)
    axis = positive(op.integer("axis", -1), len(shape))
    _check(shape, (axis,), "sorts")
    kept: list[Dim] = list(shape)
    kept[axis] = None
    return [Tensor(tuple(kept))] * 2


def _always(does: str) -> Rule:
    def rule(op: Operation) -> Sequence[Value]:
        raise across(does)

    return rule


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "ArgMax": _arg,
    "ArgMin": _arg,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _from_axis_on),
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "LRN"), _per_channel),
    "MeanVarianceNormalization": _mean_variance,
    "LpNormalization": _along_one(-1),
    "CumSum": _cumulate,
    "CumProd": _cumulate,
    "TopK": _top,
    "Unique": _always("sorts what all rows hold"),
    "DynamicQuantizeLinear": _always("takes its scale from all rows"),
}
RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Not the same for every run, whatever their inputs."""
MICROSOFT: Final[Mapping[str, Rule]] = {
    "DynamicQuantizeMatMul": _always("takes its scale from all rows"),
    "DynamicQuantizeLSTM": _always("takes its scale from all rows"),
}
