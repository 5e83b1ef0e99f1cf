"""What padding does to other people's models is found out at the load."""

from pathlib import Path

from onnxd.repository.padding_check import padding_question
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.padding_examination import examine_padding
from onnxd.runtime.session_config import SessionConfig
from tests.interop.models import write_repository
from tests.support.sequences import spec_of

DETECTION = """
max_batch_size: 4
dynamic_axes:
  p2o.DynamicDimension.1: {buckets: [32, 96]}
  p2o.DynamicDimension.2: {buckets: [32, 96]}
"""
"""Text detection of rapidocr, on its own names of height and width. Those of its output have others."""


def test_a_convolutional_network_whose_output_is_not_cut_back_is_not_taken_for_sound(tmp_path: Path) -> None:
    write_repository(tmp_path, "rapidocr")
    session = OnnxSession.open(tmp_path / "rapidocr/1/model.onnx", SessionConfig(), 1)
    question = padding_question(spec_of(session, DETECTION))
    assert question is not None
    found = examine_padding(session, tmp_path, question)
    assert found["cases"] == 1, found  # 16 by 16, the half of the first bucket, it does not take
    assert "padded to p2o.DynamicDimension.1 96, p2o.DynamicDimension.2 96" in found["fault"]
    assert "has shape [1, 1, 96, 96], not [1, 1, 64, 64]" in found["fault"]
