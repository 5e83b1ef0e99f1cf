"""Pictures as inputs."""

import io

import numpy as np
import pytest
from PIL import Image

from onnxd.cli.images import Picture, PixelRange, default_range, image_array, is_image, picture_of
from onnxd.cli.wanted import Unfit, Wanted
from onnxd.tensors import Array, Datatype

UNIT = PixelRange(0, 1)


def png(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def wanted(datatype: Datatype, *shape: int, batches: bool = True) -> Wanted:
    return Wanted("x", datatype, shape, batches)


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((64,), Picture("grey", 1, 8, 8)),
        ((28, 28), Picture("grey", 1, 28, 28)),
        ((1, 28, 28), Picture("planes", 1, 28, 28)),
        ((3, 224, 224), Picture("planes", 3, 224, 224)),
        ((224, 224, 3), Picture("pixels", 3, 224, 224)),
        ((3, -1, -1), Picture("planes", 3, -1, -1)),
        ((1, 3, 4, 5), Picture("planes", 3, 4, 5)),
        ((-1, 3, 4, 5), Picture("planes", 3, 4, 5)),
        ((10,), None),
        ((1,), None),
        ((), None),
        ((2, 8, 8), None),
        ((2, 3, 4, 5), None),
    ],
    ids=str,
)
def test_the_shape_says_whether_an_input_is_a_picture(
    shape: tuple[int, ...], picture: Picture | None
) -> None:
    assert picture_of(shape) == picture


def test_pixels_are_scaled_from_black_to_white() -> None:
    data = png(np.array([[0, 255], [51, 102]]))

    assert image_array(data, wanted(Datatype.FP32, 4), PixelRange(0, 16)).tolist() == [
        pytest.approx([0, 16, 3.2, 6.4])
    ]
    assert image_array(data, wanted(Datatype.FP32, 2, 2), PixelRange(16, 0)).tolist() == [
        [pytest.approx([16, 0]), pytest.approx([12.8, 9.6])]
    ]


def test_an_integer_input_takes_the_file_s_own_values() -> None:
    input_ = wanted(Datatype.UINT8, 2, 2)

    array = image_array(png(np.array([[0, 255], [51, 102]])), input_, default_range(input_))

    assert array.dtype == np.uint8
    assert array.tolist() == [[[0, 255], [51, 102]]]


def test_channels_come_first_or_last_as_the_input_has_them() -> None:
    red = png(np.broadcast_to(np.array([255, 0, 0]), (2, 2, 3)))

    planes = image_array(red, wanted(Datatype.FP32, 3, 2, 2), UNIT)
    pixels = image_array(red, wanted(Datatype.FP32, 2, 2, 3), UNIT)

    assert planes[0, :, 0, 0].tolist() == [1, 0, 0]
    assert pixels[0, 0, 0].tolist() == [1, 0, 0]


def test_a_picture_of_another_size_is_resized() -> None:
    grey = png(np.full((30, 50), 255))

    assert image_array(grey, wanted(Datatype.FP32, 64), UNIT).tolist() == [[1.0] * 64]


def test_free_height_and_width_are_the_file_s_own() -> None:
    input_ = wanted(Datatype.FP32, -1, 3, -1, -1, batches=False)

    assert image_array(png(np.zeros((30, 50, 3))), input_, UNIT).shape == (1, 3, 30, 50)


@pytest.mark.parametrize(
    ("datatype", "shape"), [(Datatype.FP32, (10,)), (Datatype.BYTES, (4,)), (Datatype.BOOL, (4,))]
)
def test_an_input_that_is_no_picture_is_told_as_such(datatype: Datatype, shape: tuple[int, ...]) -> None:
    with pytest.raises(Unfit, match=r"which a picture cannot be; prepare it yourself and send a \.npy file"):
        image_array(png(np.zeros((2, 2))), wanted(datatype, *shape), UNIT)


@pytest.mark.parametrize("cut", [20, -200], ids=["in the head", "in the data"])
def test_a_broken_picture_is_told_as_such(cut: int) -> None:
    data = png(np.arange(10_000).reshape(100, 100) % 251)[:cut]

    assert is_image(data)
    with pytest.raises(Unfit, match="the picture cannot be read"):
        image_array(data, wanted(Datatype.FP32, 64), UNIT)


def test_a_range_that_an_integer_cannot_hold_is_refused() -> None:
    with pytest.raises(Unfit, match="outside its range"):
        image_array(png(np.full((2, 2), 255)), wanted(Datatype.UINT8, 2, 2), PixelRange(0, 1000))
