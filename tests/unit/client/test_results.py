import numpy as np
import pytest

from onnxd_client.errors import ServerFault
from onnxd_client.results import Classification, InferResult
from onnxd_client.tensors import objects


def result(**outputs: np.ndarray) -> InferResult:
    return InferResult("digits", "2", "", outputs)


def test_a_result_is_a_mapping_in_the_servers_order() -> None:
    found = result(b=np.zeros(1), a=np.ones((2, 3), np.float32))
    assert list(found) == ["b", "a"]
    assert dict(found.items())["a"].shape == (2, 3)
    assert repr(found) == "<InferResult of digits version 2: b: float64[1], a: float32[2, 3]>"


def test_an_unknown_output_is_named_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no output 'score' in the answer, which has scores"):
        result(scores=np.zeros(1))["score"]
    assert "score" not in result(scores=np.zeros(1))


def test_results_compare_by_identity_because_arrays_do_not_compare_to_one_truth() -> None:
    first, second = result(x=np.zeros(2)), result(x=np.zeros(2))
    assert first == first
    assert first != second
    assert len({first, second}) == 2


def test_text_is_read_from_bytes_and_leaves_them_alone() -> None:
    found = result(x=objects(["ä".encode(), b"b"], (2, 1)))
    assert found.text("x").tolist() == [["ä"], ["b"]]
    assert found["x"].tolist() == [["ä".encode()], [b"b"]]


def test_classes_are_read_row_by_row() -> None:
    found = result(x=objects([b"0.5:3:cat:tabby", b"0.25:1", b"7:0:dog", b"-1e-05:2:"], (2, 2)))
    assert found.classes("x") == [
        [Classification(0.5, 3, "cat:tabby"), Classification(0.25, 1, "")],
        [Classification(7, 0, "dog"), Classification(-1e-05, 2, "")],
    ]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_classes_of_nothing_are_none(shape: tuple[int, ...]) -> None:
    assert result(x=objects([], shape)).classes("x") == []


def test_classes_that_were_not_asked_for_say_how() -> None:
    with pytest.raises(ValueError, match=r"ask for it with classes=\{'x': 3\}"):
        result(x=np.zeros(2)).classes("x")


@pytest.mark.parametrize("element", [b"", b"1", b"x:1", b"1:x:label", b"\xff:1"])
def test_text_that_is_no_classification_is_the_servers_fault(element: bytes) -> None:
    with pytest.raises(ServerFault, match="is not a classification"):
        result(x=objects([element], (1,))).classes("x")
