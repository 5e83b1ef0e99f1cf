"""What the models of `models.py` must answer: plain ONNX Runtime and, for magika, its own package.

    expected = reference_answers("rapidocr", file)
    assert_same_answers(expected, hold("rapidocr", file, infer))

There is one answer for each request of the file's conversation (see `preprocess.py`).
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported, just below

import numpy as np
import onnxruntime as ort

from tests.interop.models import model_file
from tests.interop.preprocess import Arrays, hold

TOLERANCE = 1e-5
"""The largest difference of any element from its reference, absolute."""


@cache
def session(name: str) -> ort.InferenceSession:
    """Plain ONNX Runtime with the model `name`, on the processor; kept for the whole test run."""
    return ort.InferenceSession(model_file(name), providers=["CPUExecutionProvider"])


def run(name: str, inputs: Arrays) -> Arrays:
    """One answer of plain ONNX Runtime: all the outputs of the model, by name."""
    outputs: list[Any] = session(name).run(None, inputs)
    return {value.name: array for value, array in zip(session(name).get_outputs(), outputs, strict=True)}


@cache
def reference_answers(name: str, path: Path) -> list[Arrays]:
    """Plain ONNX Runtime's answers to each request about the file, in order. Kept: do not write into them."""
    return hold(name, path, lambda inputs: run(name, inputs))


def assert_same_answers(expected: list[Arrays], actual: list[Arrays], tolerance: float = TOLERANCE) -> None:
    """Fail unless both have the same outputs, types and shapes, and no element is further off than that."""
    assert len(actual) == len(expected), f"expected {len(expected)} answers, got {len(actual)}"
    for number, (wanted, got) in enumerate(zip(expected, actual, strict=True)):
        assert got.keys() == wanted.keys(), f"answer {number}: outputs {sorted(got)}, not {sorted(wanted)}"
        for name, array in wanted.items():
            where = f"answer {number}, output {name}"
            assert got[name].dtype == array.dtype, f"{where}: {got[name].dtype}, not {array.dtype}"
            assert got[name].shape == array.shape, f"{where}: shape {got[name].shape}, not {array.shape}"
            np.testing.assert_allclose(got[name], array, rtol=0, atol=tolerance, err_msg=where)


@cache
def _magika() -> Any:
    from magika import Magika  # here, for the other models do without the package

    return Magika()


def magika_package_answer(content: bytes) -> tuple[str, float]:
    """The label and its score that magika's own package gives for the content of a file, before its rules."""
    prediction = _magika().identify_bytes(content).prediction
    return str(prediction.dl.label), float(prediction.score)
