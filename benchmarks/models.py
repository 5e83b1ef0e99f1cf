"""The models that are measured, and repositories of them."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

Weights = npt.NDArray[np.float32]

BATCHED: Final = "max_batch_size: 64\n"
ROWS: Final = 64
"""The biggest batch of BATCHED."""


def identity(width: int = 4) -> bytes:
    """y = x, FP32 [batch, width]: nothing but the way to the model and back."""
    return _model([helper.make_node("Identity", ["x"], ["y"])], width, width, {})


def mlp(seed: int = 0, sizes: Sequence[int] = (784, 256, 10)) -> bytes:
    """A perceptron with random weights, FP32 [batch, 784] to [batch, 10]."""
    random = np.random.default_rng(seed)
    nodes: list[Any] = []
    weights: dict[str, Weights] = {}
    last = "x"
    for layer, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        end = layer == len(sizes) - 2
        weights[f"w{layer}"] = (random.standard_normal((wide, narrow)) / wide**0.5).astype(np.float32)
        weights[f"b{layer}"] = np.zeros(narrow, np.float32)
        summed = "y" if end else f"sum{layer}"
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [summed]))
        if not end:
            nodes.append(helper.make_node("Relu", [summed], [f"relu{layer}"]))
            last = f"relu{layer}"
    return _model(nodes, sizes[0], sizes[-1], weights)


def constant(width: int = 784, outputs: int = 10) -> bytes:
    """Takes and gives what an MLP does, and computes nothing: with it, a server is one without its model."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "width"], ["shape"], axis=0),
        helper.make_node("Expand", ["row", "shape"], ["y"]),
    ]
    weights: dict[str, npt.NDArray[Any]] = {
        "width": np.array([outputs], np.int64),
        "row": np.zeros((1, outputs), np.float32),
    }
    return _model(nodes, width, outputs, weights)


CONVNET_WIDTH: Final = 3 * 32 * 32


def convnet(seed: int = 0) -> bytes:
    """Five convolutions on 3 x 32 x 32, 54 million operations a row (a product and its sum are two); FP32
    [batch, 3072] to [batch, 10]."""
    random = np.random.default_rng(seed)
    nodes = [helper.make_node("Reshape", ["x", "image"], ["c0"])]
    weights: dict[str, Any] = {"image": np.array([-1, 3, 32, 32], np.int64)}
    channels = 3
    for layer, (narrow, stride) in enumerate([(32, 1), (32, 1), (64, 2), (64, 1), (64, 2)]):
        weights[f"w{layer}"] = (
            random.standard_normal((narrow, channels, 3, 3)) / (9 * channels) ** 0.5
        ).astype(np.float32)
        nodes += [
            helper.make_node(
                "Conv", [f"c{layer}", f"w{layer}"], [f"s{layer}"], pads=[1] * 4, strides=[stride] * 2
            ),
            helper.make_node("Relu", [f"s{layer}"], [f"c{layer + 1}"]),
        ]
        channels = narrow
    weights["w"] = (random.standard_normal((channels, 10)) / channels**0.5).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", ["c5"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    return _model(nodes, CONVNET_WIDTH, 10, weights)


def folded(seed: int = 0, width: int = 784) -> bytes:
    """An MLP whose rows are cut in two and put together again, by the number of rows: its nodes alone do not
    prove that rows are independent."""
    random = np.random.default_rng(seed)
    half = width // 2
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Mul", ["rows", "two"], ["halves"]),
        helper.make_node("Concat", ["halves", "half"], ["cut"], axis=0),
        helper.make_node("Concat", ["rows", "whole"], ["joined"], axis=0),
        helper.make_node("Reshape", ["x", "cut"], ["parts"]),
        helper.make_node("MatMul", ["parts", "w"], ["products"]),
        helper.make_node("Reshape", ["products", "joined"], ["y"]),
    ]
    weights = {
        "two": np.array([2], np.int64),
        "half": np.array([half], np.int64),
        "whole": np.array([10], np.int64),
        "w": (random.standard_normal((half, 5)) / half**0.5).astype(np.float32),
    }
    return _model(nodes, width, 10, weights)


def deep(width: int, layers: int) -> bytes:
    """The same square matrix again and again, FP32 [batch, width]: long runs of a small file."""
    names = ["x", *(f"y{layer}" for layer in range(1, layers)), "y"]
    nodes = [helper.make_node("MatMul", [last, "w"], [now]) for last, now in itertools.pairwise(names)]
    random = np.random.default_rng(0)
    return _model(
        nodes, width, width, {"w": (random.standard_normal((width, width)) / width**0.5).astype(np.float32)}
    )


def row_constant(number: int, width: int = 4) -> bytes:
    """y = 0 * x + number: an answer says which version gave it."""
    constants = {"zero": np.array(0, np.float32), "number": np.array(number, np.float32)}
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["none"]),
        helper.make_node("Add", ["none", "number"], ["y"]),
    ]
    return _model(nodes, width, width, constants)


def publish(repository: Path, name: str, graph: bytes, config: str | None = None, version: int = 1) -> None:
    """Put a version into a repository as the documentation says: complete, then renamed into place."""
    directory = repository / name / str(version)
    directory.mkdir(parents=True, exist_ok=True)
    if config is not None:
        _put(directory.parent / "config.yaml", config.encode())
    _put(directory / "model.onnx", graph)


def _put(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(content)
    draft.rename(path)


def _model(
    nodes: Sequence[Any], inputs: int, outputs: int, initializers: Mapping[str, npt.NDArray[Any]]
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", inputs))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", outputs))],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(built.SerializeToString(deterministic=True))
