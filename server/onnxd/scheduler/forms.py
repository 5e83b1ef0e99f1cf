"""Which BatchForm a model has."""

from onnxd.scheduler.batch import Alone, BatchForm, Rows
from onnxd.scheduler.padding import CountPadding, Padded
from onnxd.scheduler.ragged import Ragged
from onnxd.tensors import ModelSpec


def form_of(spec: ModelSpec, *, max_rows: int, count: CountPadding) -> BatchForm:
    """`max_rows`: of a run, 0 = one request each; `count` is told of padding."""
    if spec.is_ragged:
        return Ragged(spec)
    if spec.axes:
        return Padded(spec, count)
    return Rows() if max_rows else Alone()
