"""Operators that make each element from the elements in its place."""

from collections.abc import Mapping, Sequence
from typing import Final

from onnxd.runtime.rowwise.operation import Operation, Rule, broadcast, positive
from onnxd.runtime.rowwise.values import N, Tensor, Unproven, Value

_ALONE: Final = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Cos", "Cosh",
    "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid",
    "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_TOGETHER: Final = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow",
    "StringConcat", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
_BROADCAST_SINCE: Final = 7
"""Before, an attribute said along which axis."""


def _alone(op: Operation) -> Sequence[Value]:
    return [op.tensor(0)] if op.kind == "Identity" else [Tensor(op.tensor(0).shape)]


def _together(op: Operation) -> Sequence[Value]:
    if op.opset < _BROADCAST_SINCE:
        raise Unproven("is of an old opset")
    return [Tensor(broadcast([op.shape(index) for index in range(op.count)]))]


def _cast(op: Operation) -> Sequence[Value]:
    """The second input of CastLike says the type alone."""
    value = op.tensor(0).value
    return [Tensor(op.tensor(0).shape, value if value is not None and value.dtype.kind in "biu" else None)]


def _clip(op: Operation) -> Sequence[Value]:
    op.fixed_from(1)
    return [Tensor(op.tensor(0).shape)]


def _dropout(op: Operation) -> Sequence[Value]:
    """Nothing but in training, which newer opsets state as an input and old ones in an attribute."""
    if op.opset < 7 or (op.given(2) and op.constant(2).any()):
        raise Unproven("draws random numbers", across=True)
    return [Tensor(op.tensor(0).shape)] * op.outputs


def _quantize(op: Operation) -> Sequence[Value]:
    """QuantizeLinear and DequantizeLinear. A scale for each slice must not be one for each row."""
    op.fixed_from(1)
    shape = op.shape(0)
    scale = op.shape(1)
    if N in shape and scale not in ((), (1,)):
        axis = positive(op.integer("axis", 1), len(shape))
        if op.integer("block_size", 0) or len(scale) != 1 or shape[axis] is N:
            raise Unproven("scales by the place in the batch")
    return [Tensor(shape)]


def _bias(op: Operation) -> Sequence[Value]:
    """Activations of com.microsoft that may add a bias first."""
    return [Tensor(broadcast([op.shape(index) for index in range(op.count) if op.given(index)]))]


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_ALONE, _alone),
    **dict.fromkeys(_TOGETHER, _together),
    "Cast": _cast,
    "CastLike": _cast,
    "Clip": _clip,
    "Dropout": _dropout,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _quantize,
}
MICROSOFT: Final[Mapping[str, Rule]] = dict.fromkeys(("BiasGelu", "FastGelu", "Gelu", "QuickGelu"), _bias)
