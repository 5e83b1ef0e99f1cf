"""What a model answered, for people and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxd.cli.output import printable
from onnxd.tensors import Array

if TYPE_CHECKING:
    from onnxd_client import Classification, InferResult

Ranking = Sequence[Sequence["Classification"]]
"""For each row, the best classes, best first."""


def answer_lines(result: "InferResult", rankings: Mapping[str, Ranking]) -> Iterator[str]:
    """An output each: its best classes where it has a ranking, else its values."""
    yield f"{result.model_name} version {result.model_version}"
    for name, array in result.items():
        if name in rankings:
            yield from _ranking(name, rankings[name])
        else:
            yield f"  {printable(name)} {list(array.shape)}"
            text = np.array2string(_texts(array), precision=6, threshold=40, edgeitems=4, max_line_width=100)
            yield from (f"    {printable(line)}" for line in text.splitlines())


def answer_document(result: "InferResult", rankings: Mapping[str, Ranking]) -> dict[str, Any]:
    """All values, and the best classes beside them."""
    return {
        "model": result.model_name,
        "version": result.model_version,
        "outputs": {name: _plain(array) for name, array in result.items()},
        "classes": {
            name: [
                [{"label": best.label, "index": best.index, "value": best.value} for best in row]
                for row in rows
            ]
            for name, rows in rankings.items()
        },
    }


def _ranking(name: str, rows: Ranking) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"  {printable(name)}" + (f" of row {number}" if len(rows) > 1 else "")
        labels = [printable(best.label) or str(best.index) for best in row]
        width = max((len(label) for label in labels), default=0)
        for label, best in zip(labels, row, strict=True):
            yield f"    {label:<{width}}  {best.value:.4g}"


def _plain(array: Array) -> Any:
    texts = _texts(array)
    # Numeric arrays as they are: as Python floats, FP32 would show digits that it does not have.
    return texts.tolist() if texts.dtype == object else np.ascontiguousarray(texts)


def _texts(array: Array) -> Array:
    """What NumPy can print: BYTES as text, what is not UTF-8 replaced; BF16 as FP32."""
    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype != object:
        return array
    texts = np.empty(array.shape, object)
    texts.reshape(-1)[:] = [element.decode("utf-8", "replace") for element in array.reshape(-1)]
    return texts
