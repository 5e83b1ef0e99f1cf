"""Models with an output of as many elements as the value of the input x (INT64 [1]) says."""

from typing import Final

import numpy as np
from onnx import helper

from onnxd.tensors import Datatype
from tests.support.graphs import expand_to, model, tensor

_X: Final = [tensor("x", Datatype.INT64, (1,))]


def range_to() -> bytes:
    """y INT64 = 0, 1, ... below x."""
    return model(
        [
            helper.make_node("Squeeze", ["x"], ["limit"]),
            helper.make_node("Range", ["zero", "limit", "one"], ["y"]),
        ],
        _X,
        [tensor("y", Datatype.INT64, ("n",))],
        {"zero": np.array(0), "one": np.array(1)},
    )


def tile_by() -> bytes:
    """y FP32 = x times a zero."""
    return model(
        [helper.make_node("Tile", ["zero", "x"], ["y"])],
        _X,
        [tensor("y", Datatype.FP32, ("n",))],
        {"zero": np.zeros(1, np.float32)},
    )


def constant_of() -> bytes:
    """y FP32 = x zeros."""
    return model(
        [helper.make_node("ConstantOfShape", ["x"], ["y"])], _X, [tensor("y", Datatype.FP32, ("n",))]
    )


def pad_by() -> bytes:
    """y FP32 = a zero and x more behind it."""
    return model(
        [
            helper.make_node("Concat", ["none", "x"], ["pads"], axis=0),
            helper.make_node("Pad", ["zero", "pads"], ["y"]),
        ],
        _X,
        [tensor("y", Datatype.FP32, ("n",))],
        {"zero": np.zeros(1, np.float32), "none": np.zeros(1, np.int64)},
    )


def one_hot_of() -> bytes:
    """y FP32 [1, x + 1]: a one and x zeros."""
    return model(
        [
            helper.make_node("Add", ["x", "one"], ["more"]),
            helper.make_node("Squeeze", ["more"], ["depth"]),
            helper.make_node("OneHot", ["first", "depth", "values"], ["y"]),
        ],
        _X,
        [tensor("y", Datatype.FP32, (1, "n"))],
        {"first": np.zeros(1, np.int64), "one": np.array(1), "values": np.array([0, 1], np.float32)},
    )


DRIVEN: Final = {
    "expand": expand_to(),
    "range": range_to(),
    "tile": tile_by(),
    "constant_of_shape": constant_of(),
    "pad": pad_by(),
    "one_hot": one_hot_of(),
}
"""By the operator."""
