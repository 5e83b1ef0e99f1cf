"""The call into ONNX Runtime without its wrapper, and the options that runs use again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxd.errors import ExecutionFailed, ModelUnavailable
from onnxd.runtime.direct_run import SpareOptions, direct_run, run_options
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.session_config import SessionConfig
from tests.support import graphs

X = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}


@pytest.fixture
def session(tmp_path: Path) -> Any:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one(("batch", 4)))
    return onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])


def test_this_onnxruntime_has_the_method_behind_its_wrapper(session: Any) -> None:
    assert direct_run(session).__self__ is session._sess  # type: ignore[attr-defined]


def test_it_answers_as_the_wrapper_does(session: Any) -> None:
    expected = session.run(["y"], X)
    for options in (None, run_options()):
        (answer,) = direct_run(session)(["y"], X, options)
        np.testing.assert_array_equal(answer, expected[0])


def test_its_answer_is_nobody_elses_memory(session: Any) -> None:
    run = direct_run(session)
    (first,) = run(["y"], X, run_options())
    kept = first.copy()
    run(["y"], {"x": X["x"] * 100}, run_options())
    np.testing.assert_array_equal(first, kept)


def test_it_refuses_what_the_wrapper_refuses(session: Any) -> None:
    for run in (direct_run(session), session.run):
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            run(["y"], {"x": np.zeros((2, 5), np.float32)}, run_options())


def test_a_version_without_that_method_is_run_by_its_wrapper(session: Any) -> None:
    class Wrapper:
        def run(self, names: Any, inputs: Any, options: Any) -> Any:
            return session.run(names, inputs, options)

    (answer,) = direct_run(Wrapper())(["y"], X, None)
    np.testing.assert_array_equal(answer, session.run(["y"], X)[0])


def test_options_are_used_again() -> None:
    spare = SpareOptions()
    options = spare.take()
    assert spare.take() is not options
    spare.give_back(options)
    assert spare.take() is options


def test_options_of_a_run_that_was_ended_do_not_end_the_next(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one())
    session = OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)
    spare = session._spare
    ended = spare.take()
    ended.terminate = True
    spare.give_back(ended)
    assert session.run({"x": np.zeros((1, 4), np.float32)})["y"].tolist() == [[1.0] * 4]


def test_a_run_that_failed_gives_its_options_back(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one(("batch", 4)))
    session = OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)
    with pytest.raises(Exception, match="x") as raised:
        session.run({"x": np.zeros((1, 5), np.float32)})
    assert not isinstance(raised.value, ModelUnavailable | ExecutionFailed)
    options = session._spare.take()
    assert options.log_severity_level == 4
    assert session.run({"x": np.zeros((1, 4), np.float32)})["y"].tolist() == [[1.0] * 4]


def test_a_session_that_is_closed_holds_nothing_of_onnxruntimes(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one())
    session = OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)
    session.close()
    with pytest.raises(ModelUnavailable, match="unloaded"):
        session.run({"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(ModelUnavailable, match="unloaded"):
        session._direct(["y"], {}, None)
