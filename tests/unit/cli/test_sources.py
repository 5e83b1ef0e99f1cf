"""What the arguments of `onnxd infer` stand for."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from onnxd.cli.images import PixelRange
from onnxd.cli.sources import collect
from onnxd.cli.wanted import Unfit, Wanted
from onnxd.tensors import Datatype

NUMBERS = {"x": Wanted("x", Datatype.FP32, (2,), batches=True)}
TEXT = {"text": Wanted("text", Datatype.BYTES, (1,), batches=True)}
TWO = {**NUMBERS, "y": Wanted("y", Datatype.INT64, (), batches=False)}


def values(wanted: Mapping[str, Wanted], *words: str) -> dict[str, object]:
    return {name: array.tolist() for name, array in collect(words, wanted, None).values.items()}


def refusal(wanted: Mapping[str, Wanted], *words: str) -> str:
    with pytest.raises(Unfit) as caught:
        collect(words, wanted, None)
    return str(caught.value)


def test_json_may_be_written_out() -> None:
    assert values(NUMBERS, "[1, 2]") == {"x": [[1.0, 2.0]]}


def test_text_may_be_written_out() -> None:
    assert values(TEXT, "guten Tag") == {"text": [["guten Tag"]]}
    assert values(TEXT, "3") == {"text": [["3"]]}


def test_a_text_that_holds_an_equals_sign_is_still_a_text() -> None:
    assert values(TEXT, "1 + 1 = 2") == {"text": [["1 + 1 = 2"]]}
    assert values(TEXT, "text=a = b") == {"text": [["a = b"]]}


def test_a_text_that_looks_like_json_is_still_a_text() -> None:
    assert values(TEXT, '{"no": "input"}') == {"text": [['{"no": "input"}']]}
    assert values(TEXT, "{not json") == {"text": [["{not json"]]}


def test_a_text_file_is_one_element_without_its_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("one\ntwo\n")

    assert values(TEXT, str(file)) == {"text": [["one\ntwo"]]}


def test_an_array_file_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1, 2], [3, 4]]))

    assert values(NUMBERS, str(tmp_path / "x.npy")) == {"x": [[1.0, 2.0], [3.0, 4.0]]}


def test_an_array_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)

    assert "the array cannot be read" in refusal(NUMBERS, str(tmp_path / "x.npy"))


def test_a_json_file_holds_one_input_or_all(tmp_path: Path) -> None:
    one, all_ = tmp_path / "one.json", tmp_path / "all.json"
    one.write_text('["guten Tag"]')
    all_.write_text('{"x": [1, 2], "y": 3}')

    assert values(TEXT, str(one)) == {"text": [["guten Tag"]]}
    assert values(TWO, str(all_)) == {"x": [[1.0, 2.0]], "y": 3}


def test_several_inputs_are_named() -> None:
    assert values(TWO, "y=3", "x=[1,2]") == {"x": [[1.0, 2.0]], "y": 3}


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"salut\n")))

    assert values(TEXT, "-") == {"text": [["salut"]]}


def test_an_image_comes_with_a_note_of_the_range_that_was_assumed(tmp_path: Path) -> None:
    file = tmp_path / "white.png"
    Image.new("L", (3, 3), 255).save(file)
    wanted = {"x": Wanted("x", Datatype.FP32, (4,), batches=True)}

    assumed = collect([str(file)], wanted, None)
    told = collect([str(file)], wanted, PixelRange(0, 16))

    assert assumed.values["x"].tolist() == [[1.0] * 4]
    assert assumed.notes == [f"{file}: black is 0 and white is 1; --pixels LOW:HIGH says otherwise"]
    assert (told.values["x"].tolist(), told.notes) == ([[16.0] * 4], [])


def test_a_file_that_is_not_there_is_told_as_such() -> None:
    assert refusal(NUMBERS, "nowhere.npy") == "nowhere.npy: there is no such file, and it is not JSON either"


def test_a_file_of_another_kind_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")

    assert refusal(NUMBERS, str(file)).startswith(
        f"{file}: neither an image (PNG, JPEG) nor a .npy array, and not JSON"
    )


def test_bytes_that_are_not_text_are_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(b"\xff\x00")

    assert refusal(TEXT, str(file)) == f"{file}: not UTF-8 text"
    assert refusal(TEXT, "\udcff") == "\udcff: not UTF-8 text"


def test_an_input_without_a_name_is_told_the_names() -> None:
    assert refusal(TWO, "[1,2]") == "[1,2]: the model has 2 inputs (x, y); write NAME=[1,2]"


def test_an_input_given_twice_is_refused() -> None:
    assert refusal(NUMBERS, "[1,2]", "x=[3,4]") == "[3,4]: input 'x' is given twice"


def test_a_json_object_with_a_name_that_is_no_input_is_refused() -> None:
    assert refusal(TWO, '{"x": [1,2], "z": 1}').endswith("the model has no input 'z'; its inputs are x, y")


def test_a_text_longer_than_any_file_s_name_is_a_text() -> None:
    assert values(TEXT, "long " * 2000) == {"text": [["long " * 2000]]}
