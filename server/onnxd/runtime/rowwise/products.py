"""Products, convolutions and recurrences: rows against what is fixed, or within each row."""

from collections.abc import Mapping, Sequence
from typing import Final

from onnxd.runtime.rowwise.operation import Operation, Rule, broadcast, row_axis
from onnxd.runtime.rowwise.values import Mixed, N, Shape, Tensor, Unproven, Value, across


def _matmul(op: Operation) -> Sequence[Value]:
    return [Tensor(matmul(op.shape(0), op.shape(1)))]


def matmul(left: Shape, right: Shape) -> Shape:
    """As numpy.matmul. Raises Unproven where rows would meet."""
    if not left or not right:
        raise Unproven("multiplies scalars")
    if left[-1] is N or right[-2:][0] is N:
        raise across("sums over the rows")
    outer = broadcast([left[:-2], right[:-2]])
    inner = (*left[-2:-1], *right[-1:]) if len(right) > 1 else left[-2:-1]
    if (N in outer) + inner.count(N) > 1:
        raise across("multiplies rows with other rows")
    return (*outer, *inner)


def _integer_matmul(zeros: Sequence[int], right: int) -> Rule:
    """Quantised products: scales and zero points are for all rows alike."""

    def rule(op: Operation) -> Sequence[Value]:
        for index in zeros:
            if op.given(index) and op.fixed(index).shape not in ((), (1,)):
                raise Unproven("has a scale that is not one number")
        return [Tensor(matmul(op.shape(0), op.shape(right)))]

    return rule


def _gemm(op: Operation) -> Sequence[Value]:
    left, right = op.shape(0), op.shape(1)
    if op.integer("transA", 0):
        left = left[::-1]
    if op.integer("transB", 0):
        right = right[::-1]
    result = matmul(left, right)
    return [Tensor(broadcast([result, op.shape(2)]) if op.given(2) else result)]


def _convolve(op: Operation) -> Sequence[Value]:
    """Conv, ConvTranspose and the like: rows on the first axis, all else fixed."""
    shape = op.shape(0)
    op.fixed_from(1)
    if N in shape and (row_axis(shape) != 0 or len(shape) < 3):
        raise across("convolves along the rows")
    return [Tensor((*shape[:1], *(None,) * (len(shape) - 1)))]


def _pool(op: Operation) -> Sequence[Value]:
    """The places that MaxPool may give count from the first row on."""
    (pooled,) = _convolve(op)
    places = Mixed("counts places from the first row on", across=True)
    return [pooled, places][: op.outputs]


def _pool_all(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    if N in shape and (row_axis(shape) != 0 or len(shape) < 3):
        raise across("pools along the rows")
    return [Tensor((*shape[:2], *(1,) * (len(shape) - 2)))]


def _einsum(op: Operation) -> Sequence[Value]:
    equation = op.text("equation", "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    operands = terms.split(",")
    if not arrow or "." in equation or len(operands) != op.count:
        raise Unproven("has an equation that is not spelled out")
    labels = set()
    for index, term in enumerate(operands):
        shape = op.shape(index)
        if len(set(term)) != len(term) or len(term) != len(shape):
            raise Unproven("takes a diagonal")
        if N in shape:
            labels.add(term[row_axis(shape)])
    if len(labels) > 1:
        raise across("multiplies rows with other rows")
    fixed = [term for index, term in enumerate(operands) if N not in op.shape(index)]
    if any(label in term for label in labels for term in fixed):
        raise Unproven("combines rows with values by their place in the batch")
    if any(label not in result for label in labels):
        raise across("sums over the rows")
    return [Tensor(tuple(N if label in labels else None for label in result))]


def _recur(op: Operation) -> Sequence[Value]:
    """LSTM, GRU, RNN: the batch is their own axis. The states at the start are of it too."""
    batch = 0 if op.integer("layout", 0) else 1
    shape = op.shape(0)
    if row_axis(shape) != batch:
        raise across("takes rows for steps in time")
    for index in (1, 2, 3, 7):  # weights; also the peepholes of an LSTM
        if op.given(index):
            op.fixed(index)
    if op.given(4) and op.shape(4) != (N,):
        raise Unproven("takes lengths for all rows alike")
    for index in (5, 6):
        if op.given(index) and row_axis(op.shape(index)) != batch:
            raise Unproven("starts from states that are not the rows'")
    state: Shape = (N, None, None) if batch == 0 else (None, N, None)
    steps: Shape = (N, None, None, None) if batch == 0 else (None, None, N, None)
    return [Tensor(steps), Tensor(state), Tensor(state)][: op.outputs]


RULES: Final[Mapping[str, Rule]] = {
    "MatMul": _matmul,
    "MatMulInteger": _integer_matmul((2, 3), 1),
    "QLinearMatMul": _integer_matmul((1, 2, 4, 5, 6, 7), 3),
    "Gemm": _gemm,
    "Einsum": _einsum,
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"), _convolve),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), _pool_all),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recur),
}
