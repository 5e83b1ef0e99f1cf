"""Train both versions of `model_repository/digits` and write them: `python -m scripts.models.train_digits`.

The images are scikit-learn's copy of the UCI "Optical Recognition of Handwritten Digits" (8x8 pixels, each a
count from 0 to 16). Nothing is downloaded. The graphs take the raw counts and scale them inside.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scripts.models.onnx_file import REPOSITORY, FloatArray, open_session, weights, write_model

SEED = 2024
PIXEL_MAXIMUM = 16.0

Layer = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Weights [inputs, outputs] and biases [outputs]."""


@dataclass(frozen=True, slots=True)
class Split:
    """Raw pixels FP32 [n, 64] and digits INT64 [n], for training and held out."""

    train_pixels: FloatArray
    train_digits: npt.NDArray[np.int64]
    held_out_pixels: FloatArray
    held_out_digits: npt.NDArray[np.int64]


def split_digits() -> Split:
    """The fixed split: a quarter of the 1,797 images is held out, each digit in proportion."""
    images = load_digits()
    train_x, held_out_x, train_y, held_out_y = train_test_split(
        images.data.astype(np.float32), images.target.astype(np.int64),
        test_size=0.25, random_state=SEED, stratify=images.target,
    )  # fmt: skip
    return Split(train_x, train_y, held_out_x, held_out_y)


def train_logistic(split: Split) -> list[Layer]:
    """Version 1: one linear layer (multinomial logistic regression)."""
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10)
    model.fit(split.train_pixels.astype(np.float64) / PIXEL_MAXIMUM, split.train_digits)
    return [(model.coef_.T, model.intercept_)]


def train_network(split: Split) -> list[Layer]:
    """Version 2: one hidden layer of 64 rectified units."""
    model = MLPClassifier(
        hidden_layer_sizes=(64,), solver="lbfgs", alpha=1.0, tol=1e-7, max_iter=5000, random_state=SEED
    )
    model.fit(split.train_pixels.astype(np.float64) / PIXEL_MAXIMUM, split.train_digits)
    return list(zip(model.coefs_, model.intercepts_, strict=True))


def digits_graph(layers: list[Layer]) -> onnx.GraphProto:
    """`pixels` FP32 [batch, 64] -> `scores` FP32 [batch, 10]: probabilities, each row on its own."""
    initializers = [numpy_helper.from_array(np.array(PIXEL_MAXIMUM, np.float32), "pixel_maximum")]
    nodes = [helper.make_node("Div", ["pixels", "pixel_maximum"], ["layer_0"], name="scale")]
    for number, (matrix, bias) in enumerate(layers, start=1):
        initializers += [weights(f"weights_{number}", matrix), weights(f"bias_{number}", bias)]
        is_last = number == len(layers)
        linear = "logits" if is_last else f"linear_{number}"
        gemm = [f"layer_{number - 1}", f"weights_{number}", f"bias_{number}"]
        nodes.append(helper.make_node("Gemm", gemm, [linear], name=f"dense_{number}"))
        if not is_last:
            nodes.append(helper.make_node("Relu", [linear], [f"layer_{number}"], name=f"relu_{number}"))
    nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], name="softmax", axis=-1))
    return helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )


def accuracy(path: Path, split: Split) -> float:
    """The share of held-out images that the file at `path` names rightly, run by plain ONNX Runtime."""
    outputs: list[Any] = open_session(path).run(["scores"], {"pixels": split.held_out_pixels})
    return float(np.mean(outputs[0].argmax(axis=1) == split.held_out_digits))


def main() -> None:
    split = split_digits()
    with threadpool_limits(
        limits=1
    ):  # the order of additions, so the last digits, must not depend on the cores
        linear, network = train_logistic(split), train_network(split)
    for version, layers, kind in (
        (1, linear, "Multinomial logistic regression"),
        (2, network, "Network with one hidden layer of 64 units"),
    ):
        path = REPOSITORY / "digits" / str(version) / "model.onnx"
        write_model(
            digits_graph(layers),
            path,
            doc=f"{kind} on 8x8 images of handwritten digits; pixels are raw counts, 0 to 16.",
        )
        size = path.stat().st_size
        print(f"digits version {version}: {accuracy(path, split):.2%} of the held-out images, {size:,} bytes")


if __name__ == "__main__":
    main()
