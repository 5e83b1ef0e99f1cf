"""What recorded requests give to a model: inputs for a golden.npz, and samples for its warm-up. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import yaml

from onnxd.telemetry.records import Record
from onnxd.tensors import Array

_MOST_SAMPLES: Final = 8


def stacked(records: Iterable[Record], rows: int | None) -> dict[str, Array]:
    """Inputs of up to `rows` rows, of the first records that have the shape of the first one; None = the
    model does not batch: the inputs of the first. Empty = there are no records."""
    taken: list[Record] = []
    room = rows or 0
    for record in records:
        if not record.inputs:
            continue
        if rows is None:
            return dict(record.inputs)
        count = _rows(record)
        if taken and (count > room or _items(record) != _items(taken[0])):
            continue
        taken.append(record)
        room -= count
        if room <= 0:
            break
    if not taken:
        return {}
    return {name: np.concatenate([record.inputs[name] for record in taken]) for name in taken[0].inputs}


def warmup_yaml(records: Iterable[Record], *, batches: bool) -> str:
    """The shapes that came most often, as the section of a config.yaml."""
    shapes: Counter[tuple[int, tuple[tuple[str, tuple[int, ...], bool], ...]]] = Counter()
    for record in records:
        rows = _rows(record) if batches else 1
        inputs = tuple(
            (name, array.shape[batches:], array.dtype != object) for name, array in record.inputs.items()
        )
        shapes[rows, inputs] += 1
    samples = [_sample(rows, inputs, batches) for (rows, inputs), _ in shapes.most_common(_MOST_SAMPLES)]
    return yaml.safe_dump({"warmup": {"samples": samples}}, sort_keys=False, default_flow_style=None)


def _sample(
    rows: int, inputs: tuple[tuple[str, tuple[int, ...], bool], ...], batches: bool
) -> Mapping[str, Any]:
    stated = {
        name: {"shape": list(shape), **({"fill": "random"} if numbers else {})}
        for name, shape, numbers in inputs
    }
    return {**({"batch_size": rows} if batches else {}), "inputs": stated}


def _rows(record: Record) -> int:
    return next((len(array) for array in record.inputs.values() if array.ndim), 1)


def _items(record: Record) -> dict[str, tuple[Any, ...]]:
    return {name: (array.dtype, array.shape[1:]) for name, array in record.inputs.items()}
