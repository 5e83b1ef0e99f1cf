"""A session: loading, running, failing, ending."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import ExecutionFailed, LoadFailed, ModelUnavailable, TensorMismatch
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.tensors import Array, Datatype
from tests.support import graphs


def opened(tmp_path: Path, model: bytes, config: SessionConfig | None = None) -> OnnxSession:
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    return OnnxSession.open(path, config or SessionConfig(), threads=1)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def test_a_run_gives_what_was_asked_for_in_its_order(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.two_inputs())
    answer = session.run({"a": ones(2, 4), "b": ones(2, 4)}, ("difference", "sum"))
    assert list(answer) == ["difference", "sum"]
    assert answer["sum"].tolist() == [[2.0] * 4] * 2
    assert list(session.run({"a": ones(2, 4), "b": ones(2, 4)}, ("sum",))) == ["sum"]


def test_no_outputs_named_means_all(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.two_inputs())
    assert list(session.run({"a": ones(1, 4), "b": ones(1, 4)})) == ["sum", "difference"]


@pytest.mark.parametrize("shape", [(2, 3), (0, 3)], ids=["full", "empty"])
@pytest.mark.parametrize("datatype", list(Datatype), ids=lambda datatype: datatype.value)
def test_every_datatype_comes_back_as_it_went_in(
    tmp_path: Path, datatype: Datatype, shape: tuple[int, int]
) -> None:
    session = opened(tmp_path, graphs.identity(datatype, ("n", 3)))
    values = np.arange(np.prod(shape)).reshape(shape)
    sent = values.astype(str).astype(object) if datatype is Datatype.BYTES else values.astype(datatype.dtype)
    answer = session.run({"x": sent})["y"]
    assert answer.dtype == datatype.dtype
    assert answer.shape == shape
    assert answer.tolist() == sent.tolist()


def test_bf16_goes_together_with_other_datatypes(tmp_path: Path) -> None:
    kinds = (Datatype.BF16, Datatype.FP32, Datatype.INT64)
    session = opened(tmp_path, graphs.every_datatype(datatypes=kinds))
    sent = {f"in_{kind.value.lower()}": np.array([1, 2]).astype(kind.dtype) for kind in kinds}
    answer = session.run(sent)
    assert [array.dtype for array in answer.values()] == [kind.dtype for kind in kinds]
    assert all(array.tolist() == [1, 2] for array in answer.values())
    assert list(session.run(sent, ("out_fp32",))) == ["out_fp32"]


def test_a_bf16_answer_owns_its_memory(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.identity(Datatype.BF16))
    assert session.run({"x": np.zeros((1, 4), Datatype.BF16.dtype)})["y"].flags.owndata


def test_bytes_in_beside_bf16_out_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="'in_bytes' is BYTES and output 'out_bf16' is BF16"):
        opened(tmp_path, graphs.every_datatype(datatypes=(Datatype.BF16, Datatype.BYTES)))


def test_text_keeps_its_nuls_and_accents(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.identity(Datatype.BYTES, ("n",)))
    sent = np.array(["", "é\0", "日本"], object)
    assert session.run({"x": sent})["y"].tolist() == sent.tolist()


def test_an_optional_input_may_be_left_out(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.optional_initializer(bias=10.0))
    assert session.run({"x": ones(1, 4)})["y"].tolist() == [[11.0] * 4]
    assert session.run({"x": ones(1, 4), "bias": np.zeros(1, np.float32)})["y"].tolist() == [[1.0] * 4]


def test_a_read_only_view_is_a_good_input(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.add_one())
    view = np.frombuffer(bytes(16), np.float32).reshape(1, 4)
    assert session.run({"x": view})["y"].tolist() == [[1.0] * 4]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        pytest.param({"x": ones(1, 5)}, "Got: 5 Expected: 4", id="a wrong dimension"),
        pytest.param({"x": ones(4)}, "Invalid rank for input: x Got: 1 Expected: 2", id="a wrong rank"),
        pytest.param({"x": np.ones((1, 4))}, "data type", id="a wrong datatype"),
        pytest.param({}, "input 'x' is missing", id="a missing input"),
        pytest.param({"x": ones(1, 4), "z": ones(1)}, "no input 'z'; it has 'x'", id="a surplus input"),
    ],
)
def test_inputs_that_do_not_fit_are_the_clients_fault(
    tmp_path: Path, inputs: dict[str, Array], reason: str
) -> None:
    with pytest.raises(TensorMismatch, match=reason):
        opened(tmp_path, graphs.add_one()).run(inputs)


def test_sizes_that_do_not_fit_each_other_are_the_clients_fault(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.int_div())
    with pytest.raises(TensorMismatch, match="broadcast"):
        session.run({"a": np.ones(2, np.int32), "b": np.ones(3, np.int32)})


def test_an_index_outside_its_table_is_the_clients_fault(tmp_path: Path) -> None:
    with pytest.raises(TensorMismatch, match="idx=7"):
        opened(tmp_path, graphs.gather()).run({"x": np.array([7])})


def test_a_division_by_zero_is_a_failed_run_and_the_session_lives(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.int_div())
    with pytest.raises(ExecutionFailed, match="Integer division by zero"):
        session.run({"a": np.ones(1, np.int32), "b": np.zeros(1, np.int32)})
    assert session.run({"a": np.ones(1, np.int32), "b": np.ones(1, np.int32)})["y"].tolist() == [1]


def test_an_output_that_no_memory_holds_is_unavailable_and_the_session_lives(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.expand_to())
    with pytest.raises(ModelUnavailable, match="not enough memory"):
        session.run({"x": np.array([10**14])})
    assert session.run({"x": np.array([2])})["y"].shape == (2,)


def test_an_output_that_cannot_exist_is_the_clients_fault(tmp_path: Path) -> None:
    with pytest.raises(TensorMismatch, match="overflowed"):
        opened(tmp_path, graphs.expand_to()).run({"x": np.array([2**62])})


def test_a_run_in_progress_can_be_ended_and_the_session_lives(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.slow())
    errors: list[Exception] = []

    def run_for_ever() -> None:
        try:
            session.run({"x": ones(1, 64), "steps": np.array(10**9)})
        except ExecutionFailed as error:
            errors.append(error)

    thread = threading.Thread(target=run_for_ever)
    thread.start()
    while thread.is_alive():  # it may not have begun when the first request to end comes
        session.terminate()
        thread.join(0.01)
    assert "ended before it had finished" in str(errors[0])
    assert session.run({"x": ones(1, 64), "steps": np.array(1)})["y"].shape == (1, 64)


def test_a_closed_session_is_unavailable(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.add_one())
    session.close()
    with pytest.raises(ModelUnavailable, match="unloaded"):
        session.run({"x": ones(1, 4)})


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(b"", r"model\.onnx is empty", id="empty"),
        pytest.param(graphs.mlp()[:1000], "cannot be parsed", id="half"),
        pytest.param(b"not a model\n" * 20, "cannot be parsed", id="text"),
        pytest.param(bytes(range(256)) * 8, "cannot be parsed", id="noise"),
        pytest.param(graphs.unknown_op(), "NoSuchOperator", id="an unknown operator"),
        pytest.param(graphs.future_opset(), "Opset 999", id="a newer opset"),
        pytest.param(graphs.future_ir(), "IR version: 99", id="a newer IR"),
    ],
)
def test_a_file_that_does_not_load_says_why_and_not_where(tmp_path: Path, model: bytes, reason: str) -> None:
    with pytest.raises(LoadFailed, match=reason) as raised:
        opened(tmp_path, model)
    assert str(tmp_path) not in raised.value.message
    assert "onnxruntime_src" not in raised.value.message


def test_a_directory_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="is a directory"):
        OnnxSession.open(tmp_path, SessionConfig(), threads=1)


def test_a_fifo_does_not_block_the_load(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(LoadFailed, match="not a regular file"):
        OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"model\.onnx cannot be read: No such file"):
        OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)


def test_external_data_is_found_beside_the_model(tmp_path: Path) -> None:
    graphs.save_with_external_data(tmp_path / "model.onnx", "weights.bin")
    session = OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)
    assert session.run({"x": ones(1, 64)})["y"].tolist() == [[1.0] * 64]


def test_missing_external_data_is_named_without_its_directory(tmp_path: Path) -> None:
    graphs.save_with_external_data(tmp_path / "model.onnx", "weights.bin")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(LoadFailed, match=r"weights\.bin") as raised:
        OnnxSession.open(tmp_path / "model.onnx", SessionConfig(), threads=1)
    assert str(tmp_path) not in raised.value.message


def test_a_provider_that_is_absent_fails_the_load(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="'TensorrtExecutionProvider' is not available"):
        opened(tmp_path, graphs.add_one(), SessionConfig(providers=("TensorrtExecutionProvider",)))


def test_an_unknown_session_option_fails_the_load(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="unknown session option"):
        opened(tmp_path, graphs.add_one(), SessionConfig(options={"session.nonsense": "1"}))


def test_every_choice_of_mode_and_optimization_builds(tmp_path: Path) -> None:
    parallel = SessionConfig(
        execution_mode="parallel", inter_op_threads=2, graph_optimization="disable", intra_op_threads=1
    )
    session = opened(tmp_path, graphs.mlp(), parallel)
    assert session.on_cpu
    assert session.run({"x": ones(3, 784)})["y"].shape == (3, 10)
    frugal = opened(tmp_path, graphs.mlp(), SessionConfig(memory_arena=False, memory_pattern=False))
    assert frugal.run({"x": ones(3, 784)})["y"].shape == (3, 10)
