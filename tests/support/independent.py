"""Graphs of the kinds that people serve, whose rows are independent. Inputs are `x...`, outputs `y...`."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from onnx import helper

from onnxd.tensors import Array, Datatype
from tests.support import graphs
from tests.support.counterexamples import node

WIDTH: Final = 8


def _weights(*shape: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return np.asarray(random.standard_normal(shape) / shape[0] ** 0.5, np.float32)


def attention(heads_in_batch: bool = False) -> bytes:
    """A block of self-attention over x [batch, length, 8] with a mask [batch, length] (INT64, 0 = padding).

    `heads_in_batch`: as PyTorch writes it, with the heads folded into the batch for the products.
    """
    heads, size = 2, WIDTH // 2
    nodes = []
    for name in ("q", "k", "v"):
        nodes += [
            node("MatMul", f"x w{name}", f"{name}1"),
            node("Reshape", f"{name}1 apart", f"{name}2"),
            node("Transpose", f"{name}2", f"{name}3", perm=[0, 2, 1, 3]),
        ]
        if heads_in_batch:
            nodes.append(node("Reshape", f"{name}3 folded", f"{name}4"))
    last = "4" if heads_in_batch else "3"
    nodes += [
        node("Transpose", f"k{last}", "keys", perm=[0, 2, 1] if heads_in_batch else [0, 1, 3, 2]),
        node("MatMul", f"q{last} keys", "scores0"),
        *([node("Reshape", "scores0 unfolded", "scores")] if heads_in_batch else []),
        node("Cast", "x_mask", "mask", to=1),
        node("Sub", "one mask", "padding"),
        node("Mul", "padding far", "bias1"),
        node("Unsqueeze", "bias1 axes", "bias"),
        node("Add", f"{'scores' if heads_in_batch else 'scores0'} bias", "masked"),
        node("Softmax", "masked", "weights", axis=-1),
        *([node("Reshape", "weights refolded", "weights2")] if heads_in_batch else []),
        node("MatMul", f"{'weights2' if heads_in_batch else 'weights'} v{last}", "mixed0"),
        *([node("Reshape", "mixed0 unfolded", "mixed")] if heads_in_batch else []),
        node("Transpose", "mixed" if heads_in_batch else "mixed0", "together", perm=[0, 2, 1, 3]),
        node("Reshape", "together back", "joined"),
        node("Add", "x joined", "added"),
        node("LayerNormalization", "added scale", "y"),
    ]
    if heads_in_batch:
        nodes = [
            node("Shape", "x", "batch", start=0, end=1),
            node("Shape", "x", "length", start=1, end=2),
            node("Mul", "batch heads", "batch_and_heads"),
            node("Concat", "batch_and_heads length size", "folded", axis=0),
            node("Concat", "batch heads length minus", "unfolded", axis=0),
            node("Concat", "batch_and_heads length minus", "refolded", axis=0),
            *nodes,
        ]
    constants = {
        **{f"w{name}": _weights(WIDTH, WIDTH, seed=seed) for seed, name in enumerate("qkv")},
        "apart": np.array([0, 0, heads, size], np.int64),
        "back": np.array([0, 0, WIDTH], np.int64),
        "heads": np.array([heads], np.int64),
        "size": np.array([size], np.int64),
        "minus": np.array([-1], np.int64),
        "one": np.array(1, np.float32),
        "far": np.array(-1e4, np.float32),
        "axes": np.array([1, 2], np.int64),
        "scale": np.ones(WIDTH, np.float32),
    }
    return graphs.model(
        nodes,
        [
            graphs.tensor("x", Datatype.FP32, ("batch", "length", WIDTH)),
            graphs.tensor("x_mask", Datatype.INT64, ("batch", "length")),
        ],
        [graphs.tensor("y", Datatype.FP32, ("batch", "length", WIDTH))],
        constants,
    )


def convolution() -> bytes:
    """Images x [batch, 3, height, width] to y [batch, 5]."""
    return graphs.model(
        [
            node("Conv", "x kernel", "c", pads=[1, 1, 1, 1]),
            node("BatchNormalization", "c scale offset mean variance", "n"),
            node("Relu", "n", "r"),
            node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", "p", "g"),
            node("Flatten", "g", "f"),
            node("Gemm", "f w b", "l"),
            node("Softmax", "l", "y"),
        ],
        [graphs.tensor("x", Datatype.FP32, ("batch", 3, "height", "width"))],
        [graphs.tensor("y", Datatype.FP32, ("batch", 5))],
        {
            "kernel": _weights(6, 3, 3, 3),
            "scale": np.ones(6, np.float32),
            "offset": np.zeros(6, np.float32),
            "mean": np.zeros(6, np.float32),
            "variance": np.ones(6, np.float32),
            "w": _weights(6, 5),
            "b": np.zeros(5, np.float32),
        },
    )


def recurrence() -> bytes:
    """An LSTM over x [batch, length, 8], whose axes are exchanged for it, to y [batch, 6]."""
    return graphs.model(
        [
            node("Transpose", "x", "steps", perm=[1, 0, 2]),
            node("LSTM", "steps w r", "all last", hidden_size=6),
            node("Squeeze", "last first", "y"),
        ],
        [graphs.tensor("x", Datatype.FP32, ("batch", "length", WIDTH))],
        [graphs.tensor("y", Datatype.FP32, ("batch", 6))],
        {
            "w": _weights(1, 24, WIDTH),
            "r": _weights(1, 24, 6, seed=1),
            "first": np.array([0], np.int64),
        },
    )


def tokens(length: int = 11) -> bytes:
    """Token ids x [batch, length] to the mean y [batch, 8] of their embeddings, padding (0) left out."""
    return graphs.model(
        [
            node("Gather", "table x", "embedded"),
            node("Equal", "x padding", "is_padding"),
            node("Not", "is_padding", "is_token"),
            node("Cast", "is_token", "kept1", to=1),
            node("Unsqueeze", "kept1 last", "kept"),
            node("Mul", "embedded kept", "left"),
            node("ReduceSum", "left second", "sum", keepdims=0),
            node("ReduceSum", "kept second", "count1", keepdims=0),
            node("Max", "count1 one", "count"),
            node("Div", "sum count", "y"),
        ],
        [graphs.tensor("x", Datatype.INT64, ("batch", "length"))],
        [graphs.tensor("y", Datatype.FP32, ("batch", WIDTH))],
        {
            "table": _weights(length, WIDTH),
            "padding": np.array(0, np.int64),
            "last": np.array([-1], np.int64),
            "second": np.array([1], np.int64),
            "one": np.array(1, np.float32),
        },
    )


def best_of(classes: int = 5) -> bytes:
    """The best class y [batch] (INT64) and its name y_name [batch] (BYTES) for x [batch, 8]."""
    return graphs.model(
        [
            node("MatMul", "x w", "scores"),
            node("ArgMax", "scores", "y", axis=1, keepdims=0),
            node("Gather", "names y", "y_name"),
        ],
        [graphs.tensor("x", Datatype.FP32, ("batch", WIDTH))],
        [graphs.tensor("y", Datatype.INT64, ("batch",)), graphs.tensor("y_name", Datatype.BYTES, ("batch",))],
        {
            "w": _weights(WIDTH, classes),
            "names": np.array([f"class {number}" for number in range(classes)], object),
        },
    )


def trees() -> bytes:
    """Two stumps over x [batch, 8], as scikit-learn's converters write them."""
    tree: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0, 1, 1, 1],
        "nodes_nodeids": [0, 1, 2, 0, 1, 2],
        "nodes_featureids": [0, 0, 0, 3, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        "nodes_values": [0.5, 0.0, 0.0, -0.2, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0] * 2,
        "nodes_falsenodeids": [2, 0, 0] * 2,
        "target_treeids": [0, 0, 1, 1],
        "target_nodeids": [1, 2, 1, 2],
        "target_ids": [0, 0, 0, 0],
        "target_weights": [1.0, 2.0, 10.0, 20.0],
        "n_targets": 1,
    }
    return graphs.model(
        [helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **tree)],
        [graphs.tensor("x", Datatype.FP32, ("", WIDTH))],
        [graphs.tensor("y", Datatype.FP32, ("", 1))],
        other_domains=["ai.onnx.ml"],
    )


def expanded() -> bytes:
    """A token before each row, as PyTorch expands it: x [batch, length, 8], y [batch, length + 1, 8]."""
    return graphs.model(
        [
            node("Shape", "x", "shape"),
            node("Gather", "shape first", "batch1"),
            node("Unsqueeze", "batch1 axis", "batch"),
            node("Concat", "batch free free", "wanted", axis=0),
            node("Shape", "wanted", "rank"),
            node("ConstantOfShape", "rank", "ones", value=helper.make_tensor("value", 7, [1], [1])),
            node("Mul", "ones minus", "frees"),
            node("Equal", "wanted frees", "is_free"),
            node("Where", "is_free ones wanted", "sizes"),
            node("Expand", "token sizes", "tokens"),
            node("Concat", "tokens x", "y", axis=1),
        ],
        [graphs.tensor("x", Datatype.FP32, ("batch", "length", WIDTH))],
        [graphs.tensor("y", Datatype.FP32, ("batch", "longer", WIDTH))],
        {
            "first": np.array(0, np.int64),
            "axis": np.array([0], np.int64),
            "free": np.array([-1], np.int64),
            "minus": np.array(-1, np.int64),
            "token": _weights(1, 1, WIDTH),
        },
    )


INDEPENDENT: Final[Mapping[str, Callable[[], bytes]]] = {
    "an MLP": graphs.mlp,
    "the mean of each row": graphs.row_mean,
    "the same for each row": lambda: graphs.row_constant(3),
    "a convolution": convolution,
    "a recurrence": recurrence,
    "embedded tokens": tokens,
    "the best class and its name": best_of,
    "trees": trees,
    "a token before each row": expanded,
    "attention with a mask": attention,
}
"""By name, those that their nodes prove."""
FOLDED: Final = "attention with its heads in the batch"
PROBED: Final[Mapping[str, Callable[[], bytes]]] = {FOLDED: lambda: attention(heads_in_batch=True)}
"""Those that only a run shows."""
