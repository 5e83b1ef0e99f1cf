"""Whether a version brings answers of its own to be held to, and what the trial must know of them."""

from collections.abc import Mapping
from pathlib import Path

from onnxd.runtime.examination_names import Question
from onnxd.runtime.golden import GOLDEN, GOLDEN_FILE
from onnxd.tensors import ModelSpec


def golden_examination(spec: ModelSpec, directory: Path) -> Mapping[str, Question]:
    """For `TrialRequest.examinations`: nothing, where the version has no such file. Blocks for a moment."""
    file = directory / GOLDEN_FILE
    if not file.is_file():
        return {}
    tensors = (*spec.inputs, *spec.outputs)
    reshape = {tensor.name: tensor.graph_shape for tensor in tensors if tensor.reshape is not None}
    return {GOLDEN: {"file": str(file), "reshape": reshape, "lead": int(spec.batches)}}
