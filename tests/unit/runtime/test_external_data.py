"""References to other files: what is let through, what is refused, and that none is overlooked."""

import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from onnxd.errors import LoadFailed
from onnxd.runtime import external_data
from onnxd.runtime.external_data import check_references
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.tensor_bits import STRING, bits_of
from tests.support.graphs import add_one, mlp
from tests.support.references import (
    NEEDED,
    PLACES,
    WEIGHTS,
    WIDTH,
    adding,
    adding_outside,
    bytes_of,
    compiled,
    outside,
)

SIZE = 2 * NEEDED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's own directory, with a file of weights twice as long as one tensor needs."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / WEIGHTS).write_bytes(np.arange(2 * WIDTH, dtype=np.float32).tobytes())
    return directory


def saved(folder: Path, model: bytes | onnx.ModelProto, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model if isinstance(model, bytes) else bytes_of(model))
    return path


def refusal(folder: Path, model: bytes | onnx.ModelProto, name: str = "model.onnx") -> str:
    with pytest.raises(LoadFailed) as raised:
        check_references(saved(folder, model, name))
    assert str(folder) not in raised.value.message
    return raised.value.message


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"location": f"./{WEIGHTS}"},
        {"offset": "0", "length": str(NEEDED)},
        {"offset": str(SIZE - NEEDED)},
        {"length": str(NEEDED), "checksum": "da39a3ee"},
    ],
    ids=str,
)
def test_a_reference_into_the_models_own_directory_loads(folder: Path, stated: dict[str, str]) -> None:
    path = saved(folder, adding_outside(**stated))
    check_references(path)
    session = OnnxSession.open(path, SessionConfig(), threads=1)
    first = int(stated.get("offset", "0")) / 4
    assert session.run({"x": np.zeros((1, 4), np.float32)})["y"][0, 0] == first


def test_weights_in_a_directory_below_load(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / WEIGHTS).rename(folder / "data" / WEIGHTS)
    check_references(saved(folder, adding_outside(location=f"data/{WEIGHTS}")))


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("", "without saying in which"),
        ("../weights.bin", r"by '\.\.'"),
        ("data/../../weights.bin", r"by '\.\.'"),
        ("/etc/passwd", "not relative"),
        ("~/weights.bin", "not relative"),
        ("C:weights.bin", "not relative"),
        ("c:/weights.bin", "not relative"),
        ("\\\\server\\share", "not relative"),
        ("data\\weights.bin", "not relative"),
        (".", "is a directory"),
        ("./", "is a directory"),
        ("weights.bin\0.txt", "control character"),
        ("weights\n.bin", "control character"),
        ("*/_ORT_MEM_ADDR_/*", "an address in memory"),
        ("./*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*", "an address in memory"),
        ("w" * 2000, "longer than 1024 characters"),
        ("missing.bin", "not there"),
        ("weights.bin/inner", "not there"),
        ("w" * 300, "not there"),
    ],
)
def test_a_location_that_is_no_plain_path_to_a_file_of_the_model_is_refused(
    folder: Path, location: str, rule: str
) -> None:
    message = refusal(folder, adding_outside(location=location))
    assert message.startswith("model.onnx: tensor 'w' ")
    assert re.search(rule, message)


@pytest.mark.parametrize(
    ("stated", "rule"),
    [
        ({"offset": "-1"}, "offset '-1'"),
        ({"offset": "+1"}, "offset '+1'"),
        ({"offset": " 1"}, "offset ' 1'"),
        ({"offset": "0x8"}, "offset '0x8'"),
        ({"offset": "1e1"}, "offset '1e1'"),
        ({"offset": ""}, "offset ''"),
        ({"offset": "٣"}, "offset"),
        ({"offset": str(2**63)}, f"offset '{2**63}'"),
        ({"offset": str(2**64 - 8)}, f"offset '{2**64 - 8}'"),
        ({"offset": str(2**63 - 1)}, f"which has {SIZE} bytes"),
        ({"offset": str(SIZE - NEEDED + 1)}, f"which has {SIZE} bytes"),
        ({"offset": str(SIZE)}, f"which has {SIZE} bytes"),
        ({"length": "-16"}, "length '-16'"),
        ({"length": "0"}, f"need {NEEDED} bytes"),
        ({"length": str(NEEDED - 1)}, f"need {NEEDED} bytes"),
        ({"length": str(NEEDED + 1)}, f"need {NEEDED} bytes"),
        ({"basepath": "/etc"}, "'basepath'"),
    ],
    ids=str,
)
def test_a_place_in_the_file_that_is_not_the_tensors_is_refused(
    folder: Path, stated: dict[str, str], rule: str
) -> None:
    message = refusal(folder, adding_outside(**stated))
    assert message.startswith("model.onnx: tensor 'w' ")
    assert rule in message


@pytest.mark.parametrize("key", ["location", "offset", "length"])
def test_an_entry_that_is_there_twice_is_refused(folder: Path, key: str) -> None:
    twice = [("location", WEIGHTS), ("offset", "0"), ("length", str(NEEDED)), (key, "0")]
    assert f"the {key} of its data twice" in refusal(folder, adding(outside(entries=twice)))


@pytest.mark.parametrize(
    ("dims", "element", "rule"),
    [
        ([-4], TensorProto.FLOAT, "negative dimension"),
        ([2**40, 2**40], TensorProto.FLOAT, f"to {2**82} of"),
        ([5 * 2**29], TensorProto.FLOAT, f"to {5 * 2**31} of"),
        ([WIDTH], TensorProto.STRING, "elements of type 8"),
        ([WIDTH], 99, "elements of type 99"),
        ([WIDTH], TensorProto.UNDEFINED, "elements of type 0"),
    ],
)
def test_a_tensor_whose_size_does_not_fit_its_file_is_refused(
    folder: Path, dims: list[int], element: int, rule: str
) -> None:
    assert rule in refusal(folder, adding(outside(dims=dims, element=element)))


def test_elements_smaller_than_a_byte_share_one(folder: Path) -> None:
    check_references(saved(folder, adding(outside(dims=[2 * SIZE - 1], element=TensorProto.INT4))))
    assert "needs bytes 0 to 33" in refusal(
        folder, adding(outside(dims=[2 * SIZE + 1], element=TensorProto.INT4))
    )


def test_every_element_type_of_onnx_has_its_size_or_is_refused() -> None:
    known = {number for number in TensorProto.DataType.values() if bits_of(number) is not None}
    unknown = {TensorProto.UNDEFINED, STRING}
    assert set(range(1, 27)) - known == unknown - {TensorProto.UNDEFINED}
    assert bits_of(TensorProto.UNDEFINED) is None


@pytest.mark.parametrize("place", PLACES)
def test_no_place_for_a_tensor_is_overlooked(folder: Path, place: str) -> None:
    check_references(saved(folder, PLACES[place](outside("t"))))
    message = refusal(folder, PLACES[place](outside("t", location="../secret")))
    assert "tensor 't' refers to the file '../secret'" in message


def test_a_tensor_without_a_name_is_called_by_what_holds_it(folder: Path) -> None:
    message = refusal(folder, PLACES["an attribute"](outside("", location="../secret")))
    assert "the tensor in attribute 'value' of node 'holder' refers to" in message


def test_a_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(SIZE))
    (folder / "link.bin").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    assert "by a symbolic link" in refusal(folder, adding_outside(location="link.bin"))
    assert "by a symbolic link" in refusal(folder, adding_outside(location="linked/secret"))


def test_a_hard_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(SIZE))
    os.link(tmp_path / "secret", folder / "hard.bin")
    assert "hard links" in refusal(folder, adding_outside(location="hard.bin"))


def test_a_pipe_and_a_directory_are_refused_without_being_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "directory").mkdir()
    for name in ("pipe", "directory"):
        assert "not a regular file" in refusal(folder, adding_outside(location=name))


def test_all_tensors_together_are_bounded(folder: Path) -> None:
    path = saved(folder, adding(outside(), outside("v"), outside("u")))
    check_references(path, max_total_bytes=3 * NEEDED)
    with pytest.raises(LoadFailed, match="take 48 bytes, more than the limit of 47"):
        check_references(path, max_total_bytes=3 * NEEDED - 1)


def test_the_first_faults_are_told_and_the_rest_counted_as_more(folder: Path) -> None:
    message = refusal(folder, adding(*(outside(f"w{at}", location="../x") for at in range(50))))
    assert message.count("refers to") == 5
    assert message.endswith("and more")


def test_a_graph_compiled_before_is_a_reference_too(folder: Path) -> None:
    (folder / "engine.bin").write_bytes(b"x")
    check_references(saved(folder, compiled("engine.bin")))
    check_references(saved(folder, compiled("bytes of the engine itself", embedded=1)))
    assert "node 'context' (EPContext) refers to the file '../engine.bin'" in refusal(
        folder, compiled("../engine.bin")
    )


@pytest.mark.parametrize("model", [add_one(), mlp((4, 4))], ids=["small", "with weights"])
def test_a_model_that_names_no_file_is_not_read_as_a_graph(
    folder: Path, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(path: Path) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(external_data, "read_graph", never)
    check_references(saved(folder, model))


def test_a_marker_between_two_chunks_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = adding_outside(location="../secret")
    for chunk_bytes in range(1, 24):
        monkeypatch.setattr(external_data, "_CHUNK_BYTES", chunk_bytes)
        assert "../secret" in refusal(folder, model)


def test_what_cannot_be_read_as_a_graph_is_refused_if_it_might_name_a_file(folder: Path) -> None:
    assert "cannot be parsed" in refusal(folder, adding_outside()[:-9])


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    model = adding_outside(location="SECRETS").replace(b"SECRETS", b"\xff\xfeCRETS")
    assert "not UTF-8" in refusal(folder, model)


@pytest.mark.parametrize("name", ["model.json", "model.txt", "model.textproto", "model"])
def test_the_files_name_does_not_change_how_it_is_read(folder: Path, name: str) -> None:
    assert "../secret" in refusal(folder, adding_outside(location="../secret"), name)


def test_onnx_runtimes_own_format_holds_its_tensors_itself(folder: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "model.ort")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(saved(folder, adding_outside())), options)
    (folder / WEIGHTS).unlink()
    check_references(folder / "model.ort")
    session = OnnxSession.open(folder / "model.ort", SessionConfig(), threads=1)
    assert session.run({"x": np.zeros((1, 4), np.float32)})["y"].tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("name", ["model.ort", "model.ORT"])
def test_a_graph_under_the_name_of_that_format_is_loaded_by_nobody(folder: Path, name: str) -> None:
    path = saved(folder, adding_outside(location="../secret"), name)
    check_references(path)
    with pytest.raises(LoadFailed):
        OnnxSession.open(path, SessionConfig(), threads=1)


def test_what_is_no_file_is_left_to_whoever_opens_it(folder: Path) -> None:
    os.mkfifo(folder / "model.onnx")
    check_references(folder / "model.onnx")
    check_references(folder)
    check_references(folder / "missing.onnx")
