"""What a golden.npz may hold, and when answers count as the same."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.golden import MAX_ARRAYS, MAX_BYTES, examine_golden, read_golden
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.tensors import Datatype
from tests.support import graphs

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def session(tmp_path: Path, graph: bytes) -> OnnxSession:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph)
    return OnnxSession.open(path, SessionConfig(), 1)


def examine(tmp_path: Path, graph: bytes, reshape: dict[str, list[int]] | None = None, **arrays: Any) -> Any:
    """The finding; arrays are named with `__` for the slash."""
    path = tmp_path / "golden.npz"
    named = {name.replace("__", "/"): array for name, array in arrays.items()}
    np.savez(path, **named)
    question = {"file": str(path), "reshape": reshape or {}, "lead": 1}
    return examine_golden(session(tmp_path, graph), path, question)


def refusal(tmp_path: Path, graph: bytes, **arrays: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        examine(tmp_path, graph, **arrays)
    return caught.value.message


def test_answers_within_the_tolerance_are_the_same_and_the_worst_difference_is_told(tmp_path: Path) -> None:
    expected = X + 1
    expected[1, 2] += 0.001
    found = examine(tmp_path, graphs.add_one(), input__x=X, output__y=expected)
    assert found == {"worst": {"y": pytest.approx(0.001, rel=1e-2)}, "rtol": 1e-3, "atol": 1e-5}


def test_names_may_have_a_dot_instead_of_a_slash(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"inputs.x": X, "outputs.y": X + 1}
    examine(tmp_path, graphs.add_one(), **arrays)


def test_an_output_that_differs_is_named_with_its_worst_place_and_the_tolerance(tmp_path: Path) -> None:
    expected = X + 1
    expected[0, 1] = 2.25
    expected[1, 3] = 7.0
    message = refusal(
        tmp_path, graphs.add_one(), input__x=X, output__y=expected, rtol=np.float64(0.01), atol=np.float64(0)
    )
    assert message == (
        "output 'y' is not what golden.npz expects: at [1, 3] it is 8.0, expected 7.0, a difference of 1, "
        "where 0.07 is allowed (rtol 0.01, atol 0); 2 of 8 elements differ"
    )


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.inf, 3.0, False),
        (3.0, np.inf, False),
        (np.nan, 3.0, False),
        (3.0, np.nan, False),
    ],
)
def test_what_is_no_number_must_be_the_same(
    tmp_path: Path, given: float, expected: float, same: bool
) -> None:
    x = np.full((1, 4), given, np.float32)
    y = np.full((1, 4), expected, np.float32)
    if same:
        examine(tmp_path, graphs.identity(), input__x=x, output__y=y)
    else:
        assert "4 of 4 elements differ" in refusal(tmp_path, graphs.identity(), input__x=x, output__y=y)


@pytest.mark.parametrize("datatype", [Datatype.INT64, Datatype.UINT8, Datatype.BOOL])
def test_whole_numbers_must_be_equal(tmp_path: Path, datatype: Datatype) -> None:
    graph = graphs.identity(datatype)
    x = np.array([[0, 1, 0, 1]], datatype.dtype)
    examine(tmp_path, graph, input__x=x, output__y=x)
    assert "it must be equal" in refusal(tmp_path, graph, input__x=x, output__y=x[:, ::-1])


def test_text_is_stored_as_text(tmp_path: Path) -> None:
    graph = graphs.identity(Datatype.BYTES)
    x = np.array([["a", "b", "", "ü"]])
    examine(tmp_path, graph, input__x=x, output__y=x)
    assert "expected z" in refusal(tmp_path, graph, input__x=x, output__y=np.array([["a", "z", "", "ü"]]))


def test_bfloat16_is_stored_as_its_bits(tmp_path: Path) -> None:
    graph = graphs.identity(Datatype.BF16)
    x = np.array([[1.0, 2.5, -3.0, 0.0]], np.float32).astype(Datatype.BF16.dtype)
    examine(tmp_path, graph, input__x=x.view(np.uint16), output__y=x.view(np.uint16))
    worse = refusal(tmp_path, graph, input__x=x.view(np.uint16), output__y=(-x).view(np.uint16))
    assert "3 of 4 elements differ" in worse


def test_what_was_written_on_another_machine_is_read(tmp_path: Path) -> None:
    examine(tmp_path, graphs.add_one(), input__x=X.astype(">f4"), output__y=(X + 1).astype(">f8"))


def test_a_tensor_that_clients_see_in_another_shape_may_have_either(tmp_path: Path) -> None:
    for x in (X, X.reshape(2, 2, 2)):
        examine(tmp_path, graphs.add_one(), reshape={"x": [4], "y": [4]}, input__x=x, output__y=x + 1)


@pytest.mark.parametrize(
    ("arrays", "phrase"),
    [
        ({"input__x": X}, "it has no output to compare"),
        ({"input__z": X, "output__y": X}, "the model has no input 'z'; it has 'x'"),
        ({"input__x": X, "output__z": X}, "the model has no output 'z'; it has 'y'"),
        ({"output__y": X}, "the run of its inputs failed: input 'x' is missing"),
        ({"input__x": X.astype(np.int32), "output__y": X}, "'x' is int32, but the model has FP32 there"),
        ({"input__x": X[:, :3], "output__y": X}, "the run of its inputs failed: the model cannot take"),
        ({"input__x": X, "output__y": X[0]}, "output 'y' has shape [2, 4], but golden.npz expects [4]"),
        ({"input__x": X, "output__y": X > 1}, "'y' is bool, but the model has FP32 there"),
        ({"input__x": X, "output__y": X, "rtol": np.float64(-1)}, "rtol is -1.0; expected one number"),
        ({"input__x": X, "output__y": X, "atol": np.float64(np.nan)}, "atol is nan; expected one number"),
        ({"input__x": X, "inputs.x": X, "output__y": X}, "'x' is among its inputs twice"),
        ({"x": X, "output__y": X}, "'x' is not known; expected input/NAME, output/NAME, rtol or atol"),
    ],
)
def test_what_does_not_fit_the_model_is_named(tmp_path: Path, arrays: dict[str, Any], phrase: str) -> None:
    assert phrase in refusal(tmp_path, graphs.add_one(), **arrays)


def npy(shape: str, dtype: str = "<f4", body: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


def archive(tmp_path: Path, *members: tuple[str, bytes]) -> Path:
    path = tmp_path / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (pickled(), "holds Python objects"),
        (npy("(1000000, 1000000)"), "is shorter than it says"),
        (npy("(4,)", body=b"123"), "expected 16 bytes got 3"),
        (npy("(-4,)", body=b"1" * 16), "it is not what numpy.savez writes"),
        (npy("(4,)", dtype="<f99", body=b"1" * 16), "it is not what numpy.savez writes"),
        (b"\x93NUMPY\x07\x00" + b"1" * 16, "it is not what numpy.savez writes"),
        (b"", "it is not what numpy.savez writes"),
    ],
    ids=["pickle", "a huge claim", "cut short", "a negative size", "no such type", "a newer form", "nothing"],
)
def test_arrays_that_are_none_are_refused_before_they_take_memory(
    tmp_path: Path, content: bytes, phrase: str
) -> None:
    with pytest.raises(LoadFailed) as caught:
        read_golden(archive(tmp_path, ("output/y.npy", content)))
    assert caught.value.message.startswith("golden.npz: ")
    assert phrase in caught.value.message


def test_the_number_and_the_size_of_arrays_are_bounded(tmp_path: Path) -> None:
    many = archive(tmp_path, *((f"output/{number}.npy", b"") for number in range(MAX_ARRAYS + 1)))
    with pytest.raises(LoadFailed, match=f"it has {MAX_ARRAYS + 1} arrays, more than {MAX_ARRAYS}"):
        read_golden(many)
    bomb = archive(tmp_path, ("output/y.npy", bytes(MAX_BYTES + 1)))
    assert bomb.stat().st_size < 2**20
    with pytest.raises(LoadFailed, match="more than"):
        read_golden(bomb)


@pytest.mark.parametrize("content", [b"", b"PK", b"text", npy("(1,)", body=b"1234")])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(content)
    with pytest.raises(LoadFailed, match=r"golden\.npz: it is not what numpy\.savez writes"):
        read_golden(path)
