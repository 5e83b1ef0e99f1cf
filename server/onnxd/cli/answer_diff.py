"""Whether two answers to one request are the same, within tolerances. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from onnxd.tensors import Array


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far numbers with fractions may be off, as in golden.npz; everything else must be equal."""

    rtol: float
    atol: float


@dataclass(frozen=True, slots=True)
class Difference:
    """One output that is not what it was."""

    output: str
    text: str


def differences(
    then: Mapping[str, Array], now: Mapping[str, Array], asked: Mapping[str, int], tolerance: Tolerance
) -> Iterator[Difference]:
    """Of every output that there was. `asked`: with how many classes, 0 = values; of classes only their order
    and labels count, not the values in their texts."""
    for name, before in then.items():
        after = now.get(name)
        if after is None:
            yield Difference(name, "is no longer answered")
        elif before.shape != after.shape:
            yield Difference(name, f"has shape {list(after.shape)}, had {list(before.shape)}")
        elif text := _differs(before, after, bool(asked.get(name)), tolerance):
            yield Difference(name, text)


def _differs(before: Array, after: Array, classes: bool, tolerance: Tolerance) -> str:
    """Empty = they are the same."""
    if before.dtype == object or after.dtype == object:
        before, after = _texts(before, classes), _texts(after, classes)
        wrong = before != after
    elif _has_fractions(before) or _has_fractions(after):
        before, after = before.astype(np.float64), after.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            wrong = ~np.isclose(after, before, rtol=tolerance.rtol, atol=tolerance.atol, equal_nan=True)
            if wrong.any():
                gap = np.where(wrong, np.nan_to_num(np.abs(after - before), nan=np.inf), -1.0)
                return _described(np.unravel_index(int(gap.argmax()), gap.shape), before, after, wrong)
        return ""
    else:
        wrong = np.asarray(before != after)
    if not wrong.any():
        return ""
    return _described(tuple(index[0] for index in np.nonzero(wrong)), before, after, wrong)


def _described(where: tuple[np.intp, ...], before: Array, after: Array, wrong: Array) -> str:
    place = [int(index) for index in where]
    return (
        f"at {place} is {after[where]!s:.60}, was {before[where]!s:.60}; "
        f"{int(wrong.sum())} of {wrong.size} elements differ"
    )


def _has_fractions(array: Array) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _texts(array: Array, classes: bool) -> Array:
    """As text; of classes (value:index:label) without the value."""
    texts: Array = np.empty(array.size, object)
    for at, element in enumerate(array.reshape(-1).tolist()):
        text = element.decode("utf-8", "replace") if isinstance(element, bytes) else str(element)
        texts[at] = text.partition(":")[2] if classes else text
    return texts.reshape(array.shape)
