"""Small ONNX models for tests, as the bytes of their files.

The input is named `x` and the output `y` unless a function says otherwise. A dimension is a size, or the
name of a free dimension. Every model is the same bytes each time it is built.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.external_data_helper
from onnx import TensorProto, helper, numpy_helper

from onnxd.tensors import Datatype

Dims = Sequence[int | str]

OPSET: Final = 20
IR_VERSION: Final = 10

ELEMENT_TYPES: Final[Mapping[Datatype, int]] = {
    Datatype.BOOL: TensorProto.BOOL,
    Datatype.INT8: TensorProto.INT8,
    Datatype.INT16: TensorProto.INT16,
    Datatype.INT32: TensorProto.INT32,
    Datatype.INT64: TensorProto.INT64,
    Datatype.UINT8: TensorProto.UINT8,
    Datatype.UINT16: TensorProto.UINT16,
    Datatype.UINT32: TensorProto.UINT32,
    Datatype.UINT64: TensorProto.UINT64,
    Datatype.FP16: TensorProto.FLOAT16,
    Datatype.BF16: TensorProto.BFLOAT16,
    Datatype.FP32: TensorProto.FLOAT,
    Datatype.FP64: TensorProto.DOUBLE,
    Datatype.BYTES: TensorProto.STRING,
}

ALL_BUT_BF16: Final = tuple(kind for kind in Datatype if kind is not Datatype.BF16)


def tensor(name: str, datatype: Datatype | int, dims: Dims | None) -> Any:
    """A graph's input or output; dims None = a shape of unknown rank."""
    element = ELEMENT_TYPES[datatype] if isinstance(datatype, Datatype) else datatype
    return helper.make_tensor_value_info(name, element, dims)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    initializers: Mapping[str, np.ndarray[Any, Any]] | None = None,
    *,
    opset: int = OPSET,
    ir_version: int = IR_VERSION,
    other_domains: Sequence[str] = (),
) -> bytes:
    """The bytes of a model with these nodes; not checked, so that a broken one can be built too."""
    constants = [numpy_helper.from_array(value, name) for name, value in (initializers or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, constants)
    opsets = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid(domain, 1) for domain in other_domains),
    ]
    built = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="onnxd-tests")
    return bytes(built.SerializeToString(deterministic=True))


def identity(datatype: Datatype = Datatype.FP32, dims: Dims | None = ("batch", 4)) -> bytes:
    """y = x, for any datatype."""
    return model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", datatype, dims)],
        [tensor("y", datatype, dims)],
    )


def every_datatype(
    dims: Dims = ("n",),
    datatypes: Sequence[Datatype] = ALL_BUT_BF16,
) -> bytes:
    """One input `in_<datatype>` and one output `out_<datatype>` (in lower case) for each of `datatypes`.

    Not BYTES in and BF16 out together: ONNX Runtime's Python API has no way to run that.
    """
    names = [datatype.value.lower() for datatype in datatypes]
    return model(
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names],
        [tensor(f"in_{datatype.value.lower()}", datatype, dims) for datatype in datatypes],
        [tensor(f"out_{datatype.value.lower()}", datatype, dims) for datatype in datatypes],
    )


def add_one(dims: Dims = ("batch", 4)) -> bytes:
    """y = x + 1 (FP32)."""
    return model(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [tensor("x", Datatype.FP32, dims)],
        [tensor("y", Datatype.FP32, dims)],
        {"one": np.array(1, np.float32)},
    )


def scalar() -> bytes:
    """y = x + 1 (FP32), both of shape []."""
    return add_one(())


def two_inputs(dims: Dims = ("batch", 4)) -> bytes:
    """sum = a + b and difference = a - b (FP32)."""
    return model(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [tensor("a", Datatype.FP32, dims), tensor("b", Datatype.FP32, dims)],
        [tensor("sum", Datatype.FP32, dims), tensor("difference", Datatype.FP32, dims)],
    )


def optional_initializer(dims: Dims = ("batch", 4), bias: float = 10.0) -> bytes:
    """y = x + bias (FP32); `bias` (shape [1]) is an input with a default."""
    return model(
        [helper.make_node("Add", ["x", "bias"], ["y"])],
        [tensor("x", Datatype.FP32, dims), tensor("bias", Datatype.FP32, (1,))],
        [tensor("y", Datatype.FP32, dims)],
        {"bias": np.array([bias], np.float32)},
    )


def version_constant(number: int, dims: Dims = ("batch", 4)) -> bytes:
    """y = x + number (FP32) and version = [number] (INT64): an answer shows which version gave it."""
    return model(
        [helper.make_node("Add", ["x", "number"], ["y"]), helper.make_node("Identity", ["own"], ["version"])],
        [tensor("x", Datatype.FP32, dims)],
        [tensor("y", Datatype.FP32, dims), tensor("version", Datatype.INT64, (1,))],
        {"number": np.array(number, np.float32), "own": np.array([number], np.int64)},
    )


def row_constant(number: int, width: int = 4) -> bytes:
    """y [batch, 1] (INT64) = number in every row of x [batch, width] (FP32): batchable."""
    return model(
        [
            helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
            helper.make_node("Concat", ["rows", "one"], ["shape"], axis=0),
            helper.make_node("Expand", ["own", "shape"], ["y"]),
        ],
        [tensor("x", Datatype.FP32, ("batch", width))],
        [tensor("y", Datatype.INT64, ("batch", 1))],
        {"one": np.array([1], np.int64), "own": np.array([[number]], np.int64)},
    )


def mlp(sizes: Sequence[int] = (784, 256, 10), seed: int = 0) -> bytes:
    """A multi-layer perceptron x [batch, sizes[0]] -> y [batch, sizes[-1]] (FP32), relu between layers."""
    random = np.random.default_rng(seed)
    weights: dict[str, np.ndarray[Any, Any]] = {}
    nodes = []
    layer = "x"
    for number, (width, height) in enumerate(itertools.pairwise(sizes)):
        last = number == len(sizes) - 2
        weights[f"w{number}"] = random.standard_normal((width, height)).astype(np.float32) / np.float32(width)
        weights[f"b{number}"] = random.standard_normal(height).astype(np.float32)
        out = "y" if last else f"h{number}"
        nodes.append(helper.make_node("Gemm", [layer, f"w{number}", f"b{number}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"r{number}"]))
        layer = f"r{number}"
    return model(
        nodes,
        [tensor("x", Datatype.FP32, ("batch", sizes[0]))],
        [tensor("y", Datatype.FP32, ("batch", sizes[-1]))],
        weights,
    )


def row_mean(width: int = 4) -> bytes:
    """y [batch, 1] = the mean of each row of x [batch, width] (FP32): rows are independent."""
    return model(
        [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)],
        [tensor("x", Datatype.FP32, ("batch", width))],
        [tensor("y", Datatype.FP32, ("batch", 1))],
        {"axes": np.array([1], np.int64)},
    )


def minus_batch_mean(width: int = 4) -> bytes:
    """y = x minus the mean over the batch (FP32): rows are not independent, so it must not be batched."""
    return model(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [tensor("x", Datatype.FP32, ("batch", width))],
        [tensor("y", Datatype.FP32, ("batch", width))],
        {"axes": np.array([0], np.int64)},
    )


def first_row(width: int = 4) -> bytes:
    """y [rows, width] = the first row of x [batch, width] (FP32), whatever the batch: rows get lost."""
    return model(
        [helper.make_node("Slice", ["x", "start", "end", "axis"], ["y"])],
        [tensor("x", Datatype.FP32, ("batch", width))],
        [tensor("y", Datatype.FP32, ("rows", width))],
        {
            "start": np.array([0], np.int64),
            "end": np.array([1], np.int64),
            "axis": np.array([0], np.int64),
        },
    )


def int_div(datatype: Datatype = Datatype.INT32, dims: Dims = ("n",)) -> bytes:
    """y = a / b in integers: division by zero is an error, the smallest integer by -1 kills the process."""
    return model(
        [helper.make_node("Div", ["a", "b"], ["y"])],
        [tensor("a", datatype, dims), tensor("b", datatype, dims)],
        [tensor("y", datatype, dims)],
    )


def deadly(datatype: Datatype = Datatype.INT32) -> bytes:
    """y = smallest / (x - 1) in integers: an x of zeros kills the process that runs it."""
    smallest = np.iinfo(datatype.dtype).min
    return model(
        [
            helper.make_node("Sub", ["x", "one"], ["less"]),
            helper.make_node("Div", ["smallest", "less"], ["y"]),
        ],
        [tensor("x", datatype, ("n",))],
        [tensor("y", datatype, ("n",))],
        {"one": np.array(1, datatype.dtype), "smallest": np.array(smallest, datatype.dtype)},
    )


def gather(rows: int = 3) -> bytes:
    """y = table[x] of x INT64 [n]; an index outside 0..rows-1 fails in the run."""
    return model(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [tensor("x", Datatype.INT64, ("n",))],
        [tensor("y", Datatype.FP32, ("n",))],
        {"table": np.arange(rows, dtype=np.float32)},
    )


def expand_to(rank: int = 1) -> bytes:
    """y (FP32) = zeros of the shape given in x INT64 [rank]: a huge output from a small input."""
    return model(
        [helper.make_node("Expand", ["zero", "x"], ["y"])],
        [tensor("x", Datatype.INT64, (rank,))],
        [tensor("y", Datatype.FP32, [f"d{axis}" for axis in range(rank)])],
        {"zero": np.array(0, np.float32)},
    )


def non_zero() -> bytes:
    """y INT64 [1, count] = the places of the non-zero elements of x FP32 [n]: the data shape the output."""
    return model(
        [helper.make_node("NonZero", ["x"], ["y"])],
        [tensor("x", Datatype.FP32, ("n",))],
        [tensor("y", Datatype.INT64, (1, "count"))],
    )


def slow(width: int = 64) -> bytes:
    """Runs `steps` (INT64, shape []) products of width x width; y = x (FP32 [1, width]) when it ends.

    A step takes some microseconds, so the steps choose how long it runs: hundreds of millions = for ever.
    It can be ended between two steps.
    """
    return _loop(width, [tensor("steps", Datatype.INT64, ())], {})


def slow_always(steps: int, width: int = 64) -> bytes:
    """Like `slow`, with the number of steps in the model."""
    return _loop(width, [], {"steps": np.array(steps, np.int64)})


def _loop(width: int, more_inputs: Sequence[Any], more: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
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
        [helper.make_node("Loop", ["steps", "yes", "x"], ["y"], body=body)],
        [tensor("x", Datatype.FP32, (1, width)), *more_inputs],
        [tensor("y", Datatype.FP32, (1, width))],
        {"unit": np.eye(width, dtype=np.float32), "yes": np.array(True), **more},
    )


def big(megabytes: int) -> bytes:
    """y = x + the sum of a weight of that many MiB (FP32 [1]): costs memory to load."""
    return model(
        [
            helper.make_node("ReduceSum", ["w"], ["total"], keepdims=0),
            helper.make_node("Add", ["x", "total"], ["y"]),
        ],
        [tensor("x", Datatype.FP32, (1,))],
        [tensor("y", Datatype.FP32, (1,))],
        {"w": np.zeros(megabytes * 2**18, np.float32)},
    )


def in_pairs() -> bytes:
    """y = x as rows of two (FP32): fails for an odd number of elements, and so for one of each free size."""
    return model(
        [helper.make_node("Reshape", ["x", "pairs"], ["y"])],
        [tensor("x", Datatype.FP32, ("n",))],
        [tensor("y", Datatype.FP32, ("m", 2))],
        {"pairs": np.array([-1, 2], np.int64)},
    )


def unknown_op() -> bytes:
    """Uses the operator NoSuchOperator of a domain that nobody registered."""
    return model(
        [helper.make_node("NoSuchOperator", ["x"], ["y"], domain="com.example")],
        [tensor("x", Datatype.FP32, (1,))],
        [tensor("y", Datatype.FP32, (1,))],
        other_domains=["com.example"],
    )


def future_opset() -> bytes:
    """Needs an opset that does not exist yet."""
    return model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", Datatype.FP32, (1,))],
        [tensor("y", Datatype.FP32, (1,))],
        opset=999,
    )


def future_ir() -> bytes:
    """Written in an IR version that does not exist yet."""
    return model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", Datatype.FP32, (1,))],
        [tensor("y", Datatype.FP32, (1,))],
        ir_version=99,
    )


def float8() -> bytes:
    """y = x in an element type that the protocol does not have."""
    return model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", TensorProto.FLOAT8E4M3FN, ("n",))],
        [tensor("y", TensorProto.FLOAT8E4M3FN, ("n",))],
    )


def sequence_input() -> bytes:
    """y = the number of tensors in the sequence x: an input that is not a tensor."""
    return model(
        [helper.make_node("SequenceLength", ["x"], ["y"])],
        [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)],
        [tensor("y", Datatype.INT64, ())],
    )


def sequence_output() -> bytes:
    """y = a sequence of one tensor x: an output that is not a tensor."""
    return model(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [tensor("x", Datatype.FP32, ("n",))],
        [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
    )


def save_with_external_data(path: Path, data_name: str = "model.onnx.data", width: int = 64) -> None:
    """Writes y = x @ w (FP32 [batch, width]) to `path`, and w to `data_name` beside it."""
    built = onnx.load_from_string(
        model(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            [tensor("x", Datatype.FP32, ("batch", width))],
            [tensor("y", Datatype.FP32, ("batch", width))],
            {"w": np.eye(width, dtype=np.float32)},
        )
    )
    onnx.external_data_helper.convert_model_to_external_data(built, location=data_name, size_threshold=0)
    onnx.save_model(built, str(path))
