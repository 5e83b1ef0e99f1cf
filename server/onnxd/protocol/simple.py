"""The simple faces: numbers in, numbers out, on a model with a single numeric input.

`{"inputs": [numbers]}` is one row and `{"inputs": [[numbers], ...]}` several; a row is reshaped to what the
model takes. The answer is the model's first numeric output, a row for a row.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxd.errors import MalformedPayload, TensorMismatch
from onnxd.messages import InferRequest, InferResponse, RequestedOutput
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Datatype, ModelSpec, TensorSpec


def simple_request(spec: ModelSpec, values: object) -> tuple[InferRequest, bool]:
    """The request, and whether `values` was a list of rows.

    Raises MalformedPayload for anything but a list of numbers or of equally long lists of numbers, and
    TensorMismatch for a model without a single numeric input or for rows that do not fit it.
    """
    tensor = _single_numeric(spec, "input", spec.inputs)
    output = _numeric_output(spec)
    if not isinstance(values, list) or not values:
        raise MalformedPayload(f"'inputs': expected a list of numbers or of rows, got {show(values)}")
    several = isinstance(values[0], list)
    rows: list[Any] = values if several else [values]
    numbers = _numbers(rows, tensor)
    shape = _row_shape(spec, tensor, numbers.shape[1])
    if not spec.batches and len(rows) > 1:
        raise TensorMismatch(f"model '{spec.name}' does not batch: send one row, got {len(rows)}")
    array = numbers.reshape((len(rows), *shape) if spec.batches else shape)
    request = InferRequest(
        spec.name,
        {tensor.name: array},
        outputs=(RequestedOutput(output.name),),
        binary_by_default=True,  # the array itself is wanted, so half floats will do
        byte_size=array.nbytes,
    )
    return request, several


def simple_answer(spec: ModelSpec, response: InferResponse, *, several: bool) -> list[Any]:
    """The first numeric output as numbers: flat for one row, else a list for each row.

    NaN and infinities are as they are; the caller's encoder decides what becomes of them.
    """
    array = next(iter(response.outputs.values())).astype(np.float64)
    if spec.batches and several:
        rows: list[Any] = array.reshape(array.shape[0], -1).tolist()
        return rows
    flat: list[Any] = array.reshape(-1).tolist()
    return [flat] if several else flat


def _single_numeric(spec: ModelSpec, what: str, tensors: Sequence[TensorSpec]) -> TensorSpec:
    required = [tensor for tensor in tensors if not tensor.optional]
    if len(required) != 1 or required[0].datatype is Datatype.BYTES:
        offered = ", ".join(f"{tensor.name} ({tensor.datatype.value})" for tensor in required)
        raise TensorMismatch(
            f"model '{spec.name}' does not have a single numeric {what} but {offered}: use "
            f"POST /v2/models/{spec.name}/infer"
        )
    return required[0]


def _numeric_output(spec: ModelSpec) -> TensorSpec:
    for tensor in spec.outputs:
        if tensor.datatype is not Datatype.BYTES:
            return tensor
    raise TensorMismatch(f"model '{spec.name}' has no numeric output: use POST /v2/models/{spec.name}/infer")


def _numbers(rows: list[Any], tensor: TensorSpec) -> Any:
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    for index, row in enumerate(rows):
        if not isinstance(row, list) or not set(map(type, row)) <= {int, float}:
            raise MalformedPayload(f"'inputs', row {index}: expected a list of numbers, got {show(row)}")
        if len(row) != width:
            raise MalformedPayload(f"'inputs', row {index}: expected {width} numbers, got {len(row)}")
    dtype = tensor.datatype.dtype
    if tensor.datatype.is_float:
        with np.errstate(over="ignore"):
            return np.array(rows, np.float64).astype(dtype)
    exact = np.array(rows, object)
    low, high = (0, 1) if tensor.datatype is Datatype.BOOL else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for number in exact.flat:
        if not low <= number <= high or number != int(number):  # in this order: int() raises for NaN
            raise TensorMismatch(
                f"input '{tensor.name}' is {tensor.datatype.value}: expected whole numbers, {low} to {high}, "
                f"got {show(number)}"
            )
    return exact.astype(np.int64 if low < 0 else np.uint64).astype(dtype)


def _row_shape(spec: ModelSpec, tensor: TensorSpec, width: int) -> tuple[int, ...]:
    """The tensor's shape with its free dimension, if it has one, made to hold a row."""
    free = tensor.shape.count(-1)
    fixed = math.prod(size for size in tensor.shape if size >= 0)
    if free == 0 and width == fixed:
        return tensor.shape
    if free == 1 and fixed and width % fixed == 0:
        return tuple(width // fixed if size < 0 else size for size in tensor.shape)
    if free > 1 and width == fixed:
        return tuple(1 if size < 0 else size for size in tensor.shape)
    raise TensorMismatch(
        f"input '{tensor.name}' of model '{spec.name}' takes rows of shape {show_shape(tensor.shape)}; "
        f"got a row of {width} numbers"
    )
