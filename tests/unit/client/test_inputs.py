from typing import Any

import numpy as np
import pytest

from onnxd_client.errors import InvalidRequest
from onnxd_client.inputs import encode_inputs, needs_metadata
from onnxd_client.results import ModelMetadata, TensorMetadata
from onnxd_client.tensors import NUMPY
from tests.unit.client.servers import packed


def model(*datatypes: str) -> ModelMetadata:
    inputs = tuple(
        TensorMetadata(f"in{number}", datatype, (-1,)) for number, datatype in enumerate(datatypes)
    )
    return ModelMetadata("m", ("1",), "", inputs, ())


@pytest.mark.parametrize(
    ("inputs", "needed"),
    [
        pytest.param({"a": np.zeros(2)}, False, id="an array says all"),
        pytest.param({"a": np.float32(1)}, False, id="a NumPy scalar too"),
        pytest.param({"a": "text", "b": ["x"], "c": [[b"y"]]}, False, id="text is always BYTES"),
        pytest.param({"a": [1, 2]}, True, id="numbers have no datatype"),
        pytest.param({"a": []}, True, id="nothing has no datatype"),
        pytest.param(np.zeros(2), True, id="an input without a name"),
        pytest.param({}, False, id="no inputs"),
    ],
)
def test_metadata_is_asked_for_only_when_needed(inputs: Any, needed: bool) -> None:
    assert needs_metadata(inputs) is needed


@pytest.mark.parametrize(
    ("datatype", "values", "shape"),
    [
        pytest.param("FP32", [[1, 2.5]], (1, 2), id="fractions"),
        pytest.param("FP16", [1, 2], (2,), id="integers as fractions"),
        pytest.param("UINT8", [0, 255], (2,), id="the whole range"),
        pytest.param("UINT64", [2**64 - 1], (1,), id="the largest"),
        pytest.param("INT64", 7, (), id="a scalar"),
        pytest.param("BOOL", [True, False], (2,), id="truth values"),
        pytest.param("INT32", [], (0,), id="nothing"),
    ],
)
def test_plain_values_become_the_models_datatype(datatype: str, values: Any, shape: tuple[int, ...]) -> None:
    (tensor,) = encode_inputs({"in0": values}, model(datatype))
    assert (tensor.datatype, tensor.shape) == (datatype, shape)
    found = np.frombuffer(tensor.data, NUMPY[datatype]).reshape(shape) if shape != (0,) else np.array([])
    assert found.tolist() == values


def test_plain_values_become_bf16_without_ml_dtypes() -> None:
    (tensor,) = encode_inputs({"in0": [1.0, -2.0]}, model("BF16"))
    assert (tensor.datatype, bytes(tensor.data)) == ("BF16", b"\x80\x3f\x00\xc0")


@pytest.mark.parametrize(
    ("datatype", "values", "message"),
    [
        pytest.param("INT64", [1.5], "expected values of INT64, got fractions", id="a fraction would be cut"),
        pytest.param("BOOL", [2], "expected values of BOOL, got integers", id="a number is no truth value"),
        pytest.param("UINT8", [256], "do not make a tensor of UINT8", id="out of range"),
        pytest.param("UINT8", [-1], "do not make a tensor of UINT8", id="negative"),
        pytest.param("FP32", [1e300], "do not make a tensor of FP32", id="too big to be finite"),
        pytest.param("FP32", [[1], [2, 3]], "do not make a tensor of FP32", id="ragged"),
        pytest.param("FP32", [None], "expected values of FP32", id="none"),
        pytest.param("FP32", [1, "2"], "expected values of FP32, got text", id="text among numbers"),
        pytest.param("NEW", [1], "'NEW' is not known to this client", id="a datatype of the future"),
        pytest.param("BYTES", [1], "expected text or bytes in every element", id="numbers for text"),
    ],
)
def test_values_that_would_change_are_refused(datatype: str, values: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        encode_inputs({"in0": values}, model(datatype))
    assert "'in0'" in str(refused.value)


def test_text_keeps_its_trailing_zeros() -> None:
    (tensor,) = encode_inputs({"in0": np.array([["a\0", b"\0"]], dtype=object).tolist()}, None)
    assert (tensor.shape, tensor.data) == ((1, 2), packed(b"a\0", b"\0"))


def test_one_text_is_a_scalar() -> None:
    (tensor,) = encode_inputs({"in0": "hello"}, None)
    assert (tensor.shape, tensor.data) == ((), packed(b"hello"))


def test_a_value_alone_goes_to_the_only_input() -> None:
    (tensor,) = encode_inputs(np.zeros(2, np.int8), model("FP32"))
    assert (tensor.name, tensor.datatype) == ("in0", "INT8")


def test_a_value_alone_is_refused_when_there_are_two_inputs() -> None:
    with pytest.raises(InvalidRequest, match="model 'm' has 2 inputs \\(in0, in1\\): pass a mapping"):
        encode_inputs(np.zeros(2), model("FP32", "FP32"))


def test_an_unknown_input_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="model 'm' has no input 'pixel', its inputs are 'in0'"):
        encode_inputs({"pixel": [1]}, model("FP32"))


def test_anything_that_can_be_an_array_is_one() -> None:
    class Columns:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            return np.array([1, 2], np.int16)

    (tensor,) = encode_inputs({"in0": Columns()}, None)
    assert (tensor.datatype, tensor.shape) == ("INT16", (2,))
