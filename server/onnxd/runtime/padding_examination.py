"""Whether a model ignores padding: seeded random rows, alone and padded up to a bucket.

Asked before `dynamic_axes` is gone by: a model that takes a mean over a sequence without a mask answers a
padded request with something else, and nothing in its graph says so.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from onnxd.errors import ServerError
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.tensors import Array, Datatype

_SEEDS: Final = 2
_ENOUGH_S: Final = 5.0
"""No further case is begun after this."""
_TOPS: Final = (100, 2, 1)
"""Integers are drawn below these, one after the other: many are indexes into tables of unknown length."""
_WORDS: Final = ("a", "padding", "ü", "two words")
TOLERANCES: Final = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-2, "bfloat16": 2e-2}
"""By dtype: a result may be off by this part of the largest in its output. Everything else must be equal."""

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class _Input:
    """One that the graph needs."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """Without the rows; what is free and no dynamic axis is 1."""
    axes: tuple[str | None, ...]
    pad: float | int
    is_mask: bool

    def in_sizes(self, sizes: Sizes) -> tuple[int, ...]:
        axes = self.axes or (None,) * len(self.shape)
        return (
            1,
            *(
                max(size, 1) if axis is None else sizes[axis]
                for size, axis in zip(self.shape, axes, strict=True)
            ),
        )


class _Untried(Exception):
    """The model does not take what was made up for it; the text is its reason."""


def examine_padding(session: OnnxSession, _: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """Finding: `cases` that were compared, the `fault` of the first that differs, and why nothing could be
    compared (`untried`); both texts are empty when there is nothing to say."""
    inputs = [
        _Input(
            entry["name"],
            Datatype(entry["datatype"]),
            tuple(entry["shape"]),
            tuple(entry["axes"]),
            entry["pad"],
            entry["is_mask"],
        )
        for entry in question["inputs"]
    ]
    axes, outputs = question["axes"], question["outputs"]
    cases, fault, untried = 0, "", ""
    deadline_s = time.monotonic() + _ENOUGH_S
    for (own, run), seed in itertools.product(_cases(axes), range(_SEEDS)):
        if fault or (cases and time.monotonic() > deadline_s):
            break
        try:
            fault = _compare(session, inputs, outputs, own, run, seed)
            cases += 1
        except _Untried as reason:
            untried = untried or str(reason)
    return {"cases": cases, "fault": fault, "untried": "" if cases else untried}


def _cases(axes: Mapping[str, Sequence[int]]) -> Iterator[tuple[Sizes, Sizes]]:
    """Sizes of a request and of the buckets it falls into, smallest first; padded on at least one axis."""
    for rank in range(max(map(len, axes.values()))):
        own, run = {}, {}
        for name, buckets in axes.items():
            place = min(rank, len(buckets) - 1)
            before, bucket = (buckets[place - 1] if place else 0), buckets[place]
            own[name], run[name] = before + (bucket - before + 1) // 2, bucket
        if own != run:
            yield own, run


def _compare(
    session: OnnxSession,
    inputs: Sequence[_Input],
    outputs: Mapping[str, Sequence[str | None]],
    own: Sizes,
    run: Sizes,
    seed: int,
) -> str:
    """How the answers differ; empty if they do not. Raises _Untried."""
    arrays, alone = _alone(session, inputs, tuple(outputs), own, seed)
    padded = {each.name: _padded(each, arrays[each.name], run) for each in inputs}
    what = f"a request of {_text(own)}, padded to {_text(run)},"
    try:
        answers = session.run(padded, tuple(outputs))
    except ServerError as error:
        return f"{what} fails: {error.message}"
    for name, axes in outputs.items():
        cuts = (slice(None) if axis is None else slice(own[axis]) for axis in axes)
        answer = answers[name][(slice(None), *cuts)] if any(axes) else answers[name]
        if difference := _difference(alone[name], answer):
            return f"output '{name}' of {what} {difference}"
    return ""


def _alone(
    session: OnnxSession, inputs: Sequence[_Input], outputs: tuple[str, ...], own: Sizes, seed: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Values that the model takes, and its answer to them without padding."""
    reason = ""
    for top in _TOPS:
        random = np.random.default_rng(seed)
        arrays = {each.name: _values(each, own, random, top) for each in inputs}
        try:
            return arrays, session.run(arrays, outputs)
        except ServerError as error:
            reason = reason or error.message
    raise _Untried(reason)


def _values(each: _Input, own: Sizes, random: "np.random.Generator", top: int) -> Array:
    shape, dtype = each.in_sizes(own), each.datatype.dtype
    if each.is_mask:
        return np.ones(shape, dtype)
    if each.datatype is Datatype.BYTES:
        return random.choice(np.array(_WORDS, object), shape)
    if each.datatype.is_float:
        return random.standard_normal(shape, np.float32).astype(dtype)
    return random.integers(0, 2 if each.datatype is Datatype.BOOL else top, shape).astype(dtype)


def _padded(each: _Input, array: Array, run: Sizes) -> Array:
    fill = "" if each.datatype is Datatype.BYTES else 0 if each.is_mask else each.pad
    padded = np.full(each.in_sizes(run), fill, array.dtype)
    padded[tuple(map(slice, array.shape))] = array
    return padded


def _difference(alone: Array, padded: Array) -> str:
    if alone.shape != padded.shape:
        return f"has shape {list(padded.shape)}, not {list(alone.shape)} as without padding"
    tolerance = TOLERANCES.get(alone.dtype.name)
    if tolerance is None:
        equal = bool(np.all(alone == padded))
        return "" if equal else "is not what it is without padding"
    left, right = alone.astype(np.float64), padded.astype(np.float64)
    scale = float(np.max(np.abs(left), initial=0.0, where=np.isfinite(left)))
    if np.allclose(left, right, rtol=0.0, atol=tolerance * scale, equal_nan=True):
        return ""
    off = float(np.max(np.abs(left - right), initial=0.0, where=np.isfinite(left - right)))
    return f"is off by {off:.3g} where {tolerance * scale:.3g} is allowed"


def _text(sizes: Sizes) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in sizes.items())
