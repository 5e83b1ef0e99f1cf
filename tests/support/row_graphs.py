"""Small ONNX models that take rows, and do with some of them what tests of batches need."""

import numpy as np
from onnx import helper

from onnxd.tensors import Datatype
from tests.support.graphs import model, tensor


def slow_rows(least: int, width: int = 4) -> bytes:
    """y = x (FP32 [batch, width]), after as many steps as the most `steps` (INT64 [batch, 1]) of its rows
    and `least` more.

    A step takes some microseconds: 10**12 = for ever. It can be ended between two steps.
    """
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["carried", "unit"], ["carried_out"]),
            helper.make_node("Identity", ["going"], ["going_out"]),
        ],
        "body",
        [tensor("step", Datatype.INT64, ()), tensor("going", Datatype.BOOL, ()), tensor("carried", 1, None)],
        [tensor("going_out", Datatype.BOOL, ()), tensor("carried_out", 1, None)],
    )
    return model(
        [
            helper.make_node("ReduceMax", ["steps"], ["most"], keepdims=0),
            helper.make_node("Add", ["most", "least"], ["all"]),
            helper.make_node("Loop", ["all", "yes", "x"], ["y"], body=body),
        ],
        [tensor("x", Datatype.FP32, ("batch", width)), tensor("steps", Datatype.INT64, ("batch", 1))],
        [tensor("y", Datatype.FP32, ("batch", width))],
        {
            "least": np.array(least, np.int64),
            "unit": np.eye(width, dtype=np.float32),
            "yes": np.array(True),
        },
    )


def table_rows(rows: int = 3) -> bytes:
    """y = table[x] of x INT64 [batch, 1]; an index outside -rows..rows-1 fails the run."""
    return model(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [tensor("x", Datatype.INT64, ("batch", 1))],
        [tensor("y", Datatype.FP32, ("batch", 1))],
        {"table": np.arange(rows, dtype=np.float32)},
    )


def quotient_rows() -> bytes:
    """y = 12 / (x - 5) in integers (INT64 [batch, 1]): an x of 5 fails the run, and zeros do not."""
    return model(
        [
            helper.make_node("Sub", ["x", "five"], ["less"]),
            helper.make_node("Div", ["twelve", "less"], ["y"]),
        ],
        [tensor("x", Datatype.INT64, ("batch", 1))],
        [tensor("y", Datatype.INT64, ("batch", 1))],
        {"five": np.array(5, np.int64), "twelve": np.array(12, np.int64)},
    )
