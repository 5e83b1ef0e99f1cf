"""Requests and reports over the pipe."""

import json
from pathlib import Path

import pytest

from onnxd.runtime.blank import Blank
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial_messages import (
    TrialReport,
    TrialRequest,
    report_from_json,
    report_to_json,
    request_from_json,
    request_to_json,
)
from onnxd.tensors import Datatype


def test_a_request_survives_the_pipe() -> None:
    request = TrialRequest(
        Path("models/m/1/model.onnx"),
        SessionConfig(
            providers=(
                {"CUDAExecutionProvider": {"device_id": 1, "use_tf32": False}},
                "CPUExecutionProvider",
            ),
            execution_mode="parallel",
            options={"session.set_denormal_as_zero": "1"},
        ),
        threads=3,
        warmup=({"x": Blank(Datatype.BF16, (1, -1), values=(1, 2)), "s": Blank(Datatype.BYTES, ())}, {}),
    )
    assert request_from_json(json.loads(json.dumps(request_to_json(request)))) == request


def test_a_report_survives_the_pipe() -> None:
    tensor = GraphTensor("x", Datatype.FP32, (-1, 4), ("batch", None))
    report = TrialReport(
        GraphSpec((tensor,), (tensor,), ()), ("CPUExecutionProvider",), (1e-5, 2e-5), 4096, 0.25, "no"
    )
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


@pytest.mark.parametrize("document", [{}, {"graph": 1}, {"graph": {"inputs": [{}]}}])
def test_what_is_not_a_report_is_refused(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        report_from_json(document)
