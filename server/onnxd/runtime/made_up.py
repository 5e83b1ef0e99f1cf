"""Rows that nobody sent, for the probe of a model: plausible for their datatype, and the same for a seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from onnxd.tensors import Array, Datatype

MANNERS: Final = 4
"""How many ways there are to make a row up."""
_FREE_SIZES: Final = (8, 32, 5, 64, 224, 1, 16, 3, 2, 256, 512)
"""What a free dimension is given, all of them the same, until the model takes it."""
_TOPS: Final = (8, 1000, 256, 2)
"""Of integers, by manner: small, like tokens, like bytes or with a sign, flags."""
_SIGNED: Final = 2
_WORDS: Final = (
    "a", "an", "apple", "be", "Berlin", "can", "did", "end", "2nd", "Eiche", "go", "grün", "hello", "I", "it",
    "Москва", "not", "ok", "the", "was", "été",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowInput:
    """One input of a model, without its first dimension."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """-1 = a free dimension."""
    dim_names: tuple[str | None, ...] = ()
    """The symbols of free dimensions; equal ones are of equal size."""
    bound: int | None = None
    """Integers are below it: places in a table of that length."""


Row = Mapping[str, Array]
"""By input, with a first dimension of 1."""


def sizes(inputs: Sequence[RowInput]) -> Iterator[Mapping[str, tuple[int, ...]]]:
    """Shapes without free dimensions, the likeliest first."""
    free = any(-1 in tensor.shape for tensor in inputs)
    for size in _FREE_SIZES if free else (1,):
        yield {tensor.name: _filled(tensor, size) for tensor in inputs}


def _filled(tensor: RowInput, size: int) -> tuple[int, ...]:
    names = tensor.dim_names or (None,) * len(tensor.shape)
    return tuple(
        _size(name or "", size) if stated == -1 else stated
        for stated, name in zip(tensor.shape, names, strict=True)
    )


def _size(name: str, size: int) -> int:
    """Exporters name what is a sum by it: `past + sequence`, `past + 1`."""
    parts = [part.strip() for part in name.split("+")]
    return sum(int(part) if part.isdecimal() else size for part in parts)


def make_row(
    inputs: Sequence[RowInput],
    shapes: Mapping[str, tuple[int, ...]],
    manner: int,
    random: "np.random.Generator",
) -> Row:
    """One row in a manner from 0 to MANNERS - 1."""
    return {tensor.name: _elements(tensor, (1, *shapes[tensor.name]), manner, random) for tensor in inputs}


def _elements(tensor: RowInput, shape: tuple[int, ...], manner: int, random: "np.random.Generator") -> Array:
    if tensor.datatype is Datatype.BYTES:
        return _texts(shape, manner, random)
    if tensor.datatype is Datatype.BOOL:
        return random.integers(0, 2, shape).astype(np.bool_)
    if tensor.datatype.is_float:
        return _floats(shape, manner, random).astype(tensor.datatype.dtype)
    return _integers(tensor, shape, manner, random)


def _floats(shape: tuple[int, ...], manner: int, random: "np.random.Generator") -> Array:
    """Like features, like probabilities, each row of another magnitude, like pixels."""
    match manner:
        case 0:
            return random.standard_normal(shape)
        case 1:
            return random.random(shape)
        case 2:
            return np.asarray(random.standard_normal(shape) * 10.0 ** random.uniform(-2, 1.5))
        case _:
            return np.asarray(random.random(shape) * 255.0)


def _integers(tensor: RowInput, shape: tuple[int, ...], manner: int, random: "np.random.Generator") -> Array:
    """Never the smallest of its type: divided by -1 it ends the process."""
    limits = np.iinfo(tensor.datatype.dtype)
    top = min(_TOPS[manner], int(limits.max) + 1, tensor.bound or 2**31)
    bottom = -8 if manner == _SIGNED and limits.min < 0 and tensor.bound is None else 0
    return random.integers(bottom, max(top, 1), shape).astype(tensor.datatype.dtype)


def _texts(shape: tuple[int, ...], manner: int, random: "np.random.Generator") -> Array:
    texts: Array = np.empty(shape, object)
    for place in np.ndindex(shape):
        texts[place] = _text(manner, random)
    return texts


def _text(manner: int, random: "np.random.Generator") -> str:
    """Words, sentences, letters, numbers."""
    match manner:
        case 0:
            return str(random.choice(_WORDS))
        case 1:
            return " ".join(random.choice(_WORDS, int(random.integers(3, 12))))
        case 2:
            return chr(int(random.integers(ord("a"), ord("z") + 1)))
        case _:
            return str(int(random.integers(0, 100)))
