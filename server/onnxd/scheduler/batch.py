"""Many requests as one run, and back: stacking inputs by rows, splitting outputs by rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from onnxd.errors import ExecutionFailed
from onnxd.scheduler.queue import Item
from onnxd.tensors import Array


def stack(items: Sequence[Item]) -> Mapping[str, Array]:
    """The inputs of one run. A request alone is passed on as the views it arrived in: no copy.

    Of several, every array is written once into one new array. All items are of one bucket, so their
    inputs have the same names, datatypes, and shapes behind the first dimension.
    """
    if len(items) == 1:
        return items[0].request.inputs
    return {
        name: np.concatenate([item.request.inputs[name] for item in items])
        for name in items[0].request.inputs
    }


def split(items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
    """The outputs of each request: views of its rows.

    Raises ExecutionFailed when an output does not have one row for each row that went in: then nobody
    can say whose rows are whose, and no answer is better than a stranger's.
    """
    if len(items) == 1:
        return [outputs]
    total = sum(item.rows for item in items)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise ExecutionFailed(
                f"output '{name}' has shape {list(array.shape)} for a batch of {total} rows: the model does "
                f"not give one row for each input row; set max_batch_size: 0 in its config.yaml"
            )
    answers: list[Mapping[str, Array]] = []
    first = 0
    for item in items:
        rows = slice(first, first + item.rows)
        answers.append({name: array[rows] for name, array in outputs.items()})
        first += item.rows
    return answers
