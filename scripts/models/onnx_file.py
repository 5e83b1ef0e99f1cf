"""What both training scripts share: from a graph to the same bytes every time, and back to answers."""

import os
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported, just below

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

FloatArray = npt.NDArray[np.float32]

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"

# Older than what our onnx writes by default, so that every runtime since 1.17 loads the files.
IR_VERSION = 9
OPSET = 20


def weights(name: str, values: npt.NDArray[np.floating[Any]], decimals: int = 4) -> onnx.TensorProto:
    """An FP32 initializer, rounded to `decimals` places.

    The rounding drops digits that carry nothing, and with them most of what differs when another processor
    does the training.
    """
    rounded = np.round(values.astype(np.float64), decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
    return numpy_helper.from_array(rounded.astype(np.float32), name)


def write_model(
    graph: onnx.GraphProto, path: Path, *, doc: str, domains: dict[str, int] | None = None
) -> None:
    """Check the graph and write it to `path`, making its directory. `domains`: opsets besides ONNX's own."""
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    opsets += [onnx.helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "onnxd"
    model.doc_string = doc
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def open_session(path: Path) -> ort.InferenceSession:
    """The model as plain ONNX Runtime runs it, on the processor."""
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])
