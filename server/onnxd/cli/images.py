"""A picture as the input of a model. The rule is in `onnxd infer --help`."""

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from onnxd.cli.wanted import Unfit, Wanted
from onnxd.tensors import Array

if TYPE_CHECKING:
    from PIL.Image import Image

_MAGIC: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

Layout = Literal["grey", "planes", "pixels"]
"""[H,W] or [H*W]; [C,H,W]; [H,W,C]."""


@dataclass(frozen=True, slots=True)
class Picture:
    """How a model takes a picture. A height or width of -1 is the file's own."""

    layout: Layout
    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class PixelRange:
    """The values that black and white become."""

    black: float
    white: float


def is_image(data: bytes) -> bool:
    """Whether the bytes are a PNG or a JPEG file."""
    return data.startswith(_MAGIC)


def picture_of(shape: tuple[int, ...]) -> Picture | None:
    """The picture that an input of this shape (one row) takes, or None if it does not look like one.

    [n*n] and [H,W] are grey; [C,H,W] and [H,W,C] have 1 or 3 channels; a 1 or -1 before three others is a
    batch of one.
    """
    if len(shape) == 4 and shape[0] in (-1, 1):
        shape = shape[1:]
    match shape:
        case (size,) if size > 1 and math.isqrt(size) ** 2 == size:
            return Picture("grey", 1, math.isqrt(size), math.isqrt(size))
        case (height, width):
            return Picture("grey", 1, height, width)
        case ((1 | 3) as channels, height, width):
            return Picture("planes", channels, height, width)
        case (height, width, (1 | 3) as channels):
            return Picture("pixels", channels, height, width)
    return None


def default_range(wanted: Wanted) -> PixelRange:
    """0 to 255 for integers, 0 to 1 for numbers with fractions."""
    return PixelRange(0, 255) if wanted.datatype.is_integer else PixelRange(0, 1)


def image_array(data: bytes, wanted: Wanted, pixels: PixelRange) -> Array:
    """The file's picture, resized to the input's height and width, as one row. Raises Unfit."""
    picture = picture_of(wanted.shape)
    if picture is None or not (wanted.datatype.is_integer or wanted.datatype.is_float):
        raise Unfit(f"{wanted}, which a picture cannot be; prepare it yourself and send a .npy file")
    image = _decoded(data, "L" if picture.channels == 1 else "RGB")
    width = image.width if picture.width == -1 else picture.width
    height = image.height if picture.height == -1 else picture.height
    if (width, height) != image.size:
        image = image.resize((width, height))
    array = np.asarray(image, np.float64) / 255 * (pixels.white - pixels.black) + pixels.black
    if wanted.datatype.is_integer:
        array = array.round()
    if picture.channels == 1:
        array = array[np.newaxis] if picture.layout == "planes" else array
        array = array[..., np.newaxis] if picture.layout == "pixels" else array
    elif picture.layout == "planes":
        array = np.moveaxis(array, -1, 0)
    if len(wanted.shape) == 4:
        array = array[np.newaxis]
    if wanted.datatype.is_integer:
        # Whole by now; the range is checked where every other integer's is.
        array = array.astype(np.int64)
    return wanted.fit(array)


def _decoded(data: bytes, mode: str) -> "Image":
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise Unfit(
            "reading pictures needs the package pillow: install the extra `images` "
            "(pip install 'onnxd[images]')"
        ) from error
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            return ImageOps.exif_transpose(image).convert(mode)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        # SyntaxError is Pillow's own for a broken PNG chunk.
        raise Unfit(f"the picture cannot be read: {error}") from error
