"""Fitting what the user has to what the model wants."""

import numpy as np
import pytest

from onnxd.cli.wanted import Unfit, Wanted
from onnxd.tensors import Datatype


def wanted(datatype: Datatype, *shape: int, batches: bool = True) -> Wanted:
    return Wanted("x", datatype, shape, batches)


def test_a_single_row_gets_its_batch_dimension() -> None:
    fitted = wanted(Datatype.FP32, 3).fit([1, 2, 3])

    assert fitted.shape == (1, 3)
    assert fitted.dtype == np.float32


def test_rows_stay_rows() -> None:
    assert wanted(Datatype.FP32, 3).fit(np.zeros((5, 3))).shape == (5, 3)


def test_a_model_that_does_not_batch_gets_the_shape_it_names() -> None:
    assert wanted(Datatype.FP32, 3, batches=False).fit([1, 2, 3]).shape == (3,)
    assert wanted(Datatype.FP32, -1, 3, batches=False).fit([1, 2, 3]).shape == (1, 3)


def test_a_row_of_another_shape_but_the_right_size_is_reshaped() -> None:
    assert wanted(Datatype.FP32, 64).fit(np.zeros((8, 8))).shape == (1, 64)
    assert wanted(Datatype.FP32, 2, 2).fit([1, 2, 3, 4]).tolist() == [[[1, 2], [3, 4]]]


def test_a_scalar_fits_a_model_that_takes_one() -> None:
    assert wanted(Datatype.INT64, batches=False).fit(7).shape == ()
    assert wanted(Datatype.INT64, 1).fit(7).tolist() == [[7]]


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (Datatype.FP32, np.zeros(3, np.float64)),
        (Datatype.FP16, np.zeros(3, np.int64)),
        (Datatype.BF16, np.zeros(3, np.float32)),
        (Datatype.INT64, np.zeros(3, np.int8)),
        (Datatype.UINT8, [0, 1, 255]),
        (Datatype.BOOL, [True, False, True]),
        (Datatype.FP64, [1, 2.5, 3]),
    ],
    ids=lambda value: value.name if isinstance(value, Datatype) else "",
)
def test_numbers_are_converted_to_the_datatype(datatype: Datatype, value: object) -> None:
    assert wanted(datatype, 3).fit(value).dtype == datatype.dtype


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        (Datatype.INT32, [1.5, 2, 3], "numbers with fractions"),
        (Datatype.UINT8, [256, 0, 0], "outside its range"),
        (Datatype.UINT8, [-1, 0, 0], "outside its range"),
        (Datatype.FP32, ["a", "b", "c"], "text"),
        (Datatype.BOOL, [0, 1, 2], "integers"),
        (Datatype.BYTES, [1, 2, 3], "integers"),
        (Datatype.FP32, [[1], [2, 3]], "not all of one length"),
        (Datatype.FP32, [1, 2], "an array of shape [2] does not fit"),
        (Datatype.FP32, {"a": 1}, "something else"),
    ],
    ids=lambda value: value.name if isinstance(value, Datatype) else "",
)
def test_what_does_not_fit_is_told_with_what_the_input_takes(
    datatype: Datatype, value: object, expected: str
) -> None:
    with pytest.raises(Unfit) as caught:
        wanted(datatype, 3).fit(value)

    assert str(caught.value).startswith(f"input 'x' takes rows of {datatype.value} [3]")
    assert expected in str(caught.value)


def test_text_becomes_an_array_of_str() -> None:
    fitted = wanted(Datatype.BYTES, 1).fit("grüß dich")

    assert fitted.dtype == object
    assert fitted.tolist() == [["grüß dich"]]
