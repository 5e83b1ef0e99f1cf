"""The classification extension: the k best classes of an output in place of the output.

An element of the answer is "<value>:<index>" or "<value>:<index>:<label>", best first.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from onnxd.errors import TensorMismatch
from onnxd.messages import RequestedOutput
from onnxd.protocol.binary import string_array
from onnxd.protocol.wording import show
from onnxd.tensors import Array, Datatype, ModelSpec, TensorSpec

_MAX_CLASSES: Final = 1_000_000
_REFUSED: Final = (Datatype.BOOL, Datatype.FP16, Datatype.BF16, Datatype.BYTES)


def check_classifiable(output: TensorSpec) -> None:
    """Raises TensorMismatch for an output whose datatype has no classes."""
    if output.datatype in _REFUSED:
        raise TensorMismatch(
            f"output {show(output.name)}: 'classification' needs an integer type, FP32 or FP64, but the "
            f"output is {output.datatype.value}"
        )


def classify_outputs(
    requested: Sequence[RequestedOutput], outputs: Mapping[str, Array], spec: ModelSpec
) -> dict[str, Array]:
    """The outputs, in their order, with those replaced that were asked for as classes.

    `outputs` are as the model gave them; the request has passed validate().
    """
    best = {output.name: output.classification for output in requested if output.classification}
    answered = dict(outputs)
    for name, count in best.items():
        tensor = spec.output(name)
        labels = tensor.labels if tensor is not None else ()
        answered[name] = best_classes(name, outputs[name], count, labels, batches=spec.batches)
    return answered


def best_classes(name: str, output: Array, count: int, labels: Sequence[str], *, batches: bool) -> Array:
    """BYTES of shape [min(count, n)], or [rows, min(count, n)] when the model batches.

    n is the number of elements (of one row). Of equal values the lower index comes first; NaN is last.
    Raises TensorMismatch when n is over 1,000,000.
    """
    classes = math.prod(output.shape[1:] if batches else output.shape)
    if classes > _MAX_CLASSES:
        raise TensorMismatch(
            f"output {show(name)}: 'classification' is limited to {_MAX_CLASSES} classes, the output has "
            f"{classes}"
        )
    count = min(count, classes)
    style = "%f" if output.dtype.kind == "f" else "%d"
    elements: list[str] = []
    for row in output.reshape(output.shape[0] if batches else 1, classes):
        order = _descending(row)[:count]
        for value, index in zip(row[order].tolist(), order.tolist(), strict=True):
            label = f":{labels[index]}" if index < len(labels) else ""
            elements.append(f"{style % value}:{index}{label}")
    shape = (output.shape[0], count) if batches else (count,)
    return string_array(elements).reshape(shape)


def _descending(row: Array) -> Array:
    """Indices of the values from the highest to the lowest; stable, and NaN last."""
    if row.dtype.kind == "f":
        return np.argsort(-row, kind="stable")
    # Negating wraps for unsigned integers and for the lowest signed one: ~x is order-reversing for both.
    return np.argsort(~row, kind="stable")
