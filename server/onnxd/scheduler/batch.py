"""Many requests as one run, and back: which may share one, stacking their inputs, splitting the outputs."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from onnxd.errors import ExecutionFailed
from onnxd.messages import InferRequest
from onnxd.scheduler.item import BucketKey, Item
from onnxd.tensors import Array

_ONE_BUCKET: Final[BucketKey] = ()


class BatchForm(Protocol):
    """How requests of one version of a model become runs, and outputs of runs answers. Pure."""

    def bucket(self, request: InferRequest, outputs: tuple[str, ...]) -> BucketKey:
        """What a request shares with those that may be in a batch with it. Raises TensorMismatch."""

    def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
        """The inputs of one run of requests of one bucket."""

    def split(self, items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
        """The outputs of each request of a run. Raises ExecutionFailed if whose are whose is not clear."""


class Alone:
    """Of a model that does not batch: a run is one request, passed on as the views it arrived in."""

    def bucket(self, request: InferRequest, outputs: tuple[str, ...]) -> BucketKey:
        return _ONE_BUCKET

    def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
        return items[0].request.inputs

    def split(self, items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
        return [outputs]


class Rows:
    """Of a model whose inputs and outputs have their rows in the first dimension."""

    def bucket(self, request: InferRequest, outputs: tuple[str, ...]) -> BucketKey:
        """Same inputs, datatypes, shapes behind the first dimension, and same outputs to compute."""
        if len(request.inputs) == 1:  # as most have, and several times as fast
            for name, array in request.inputs.items():
                return (outputs, (name, array.dtype.num, array.shape[1:]))
        return (
            outputs,
            *((name, array.dtype.num, array.shape[1:]) for name, array in sorted(request.inputs.items())),
        )

    def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
        """A request alone is passed on as the views it arrived in: no copy. Of several, every array is
        written once into one new array."""
        if len(items) == 1:
            return items[0].request.inputs
        return {
            name: np.concatenate([item.request.inputs[name] for item in items])
            for name in items[0].request.inputs
        }

    def split(self, items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
        """Views of each request's rows. Raises ExecutionFailed when an output does not have one row for each
        row that went in: no answer is better than a stranger's."""
        if len(items) == 1:
            return [outputs]
        total = sum(item.rows for item in items)
        for name, array in outputs.items():
            if array.ndim == 0 or array.shape[0] != total:
                raise ExecutionFailed(
                    f"output '{name}' has shape {list(array.shape)} for a batch of {total} rows: the model "
                    f"does not give one row for each input row; set max_batch_size: 0 in its config.yaml"
                )
        answers: list[Mapping[str, Array]] = []
        first = 0
        for item in items:
            rows = slice(first, first + item.rows)
            answers.append({name: array[rows] for name, array in outputs.items()})
            first += item.rows
        return answers
