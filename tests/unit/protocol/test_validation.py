"""A request against the model's spec: what is refused, in which words, and how many rows the rest has."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnxd.errors import TensorMismatch
from onnxd.messages import InferRequest, RequestedOutput
from onnxd.protocol.validation import validate
from onnxd.tensors import Array, Datatype, ModelSpec, TensorSpec
from tests.unit.protocol.builders import spec

FP32 = Datatype.FP32
PLAIN = spec()
BATCHING = spec(max_batch_size=8)
PAIR = spec(TensorSpec("a", FP32, (2,)), TensorSpec("b", FP32, (-1,)), max_batch_size=8)
OPTIONAL = spec(TensorSpec("x", FP32, (4,)), TensorSpec("scale", FP32, (), optional=True))
SCALAR = spec(TensorSpec("x", FP32, ()))
CLASSES = spec(
    outputs=(
        TensorSpec("y", FP32, (10,)),
        TensorSpec("flag", Datatype.BOOL, (1,)),
        TensorSpec("text", Datatype.BYTES, (1,)),
        TensorSpec("half", Datatype.FP16, (1,)),
        TensorSpec("brain", Datatype.BF16, (1,)),
    )
)


def zeros(*shape: int, dtype: Any = np.float32) -> Array:
    return np.zeros(shape, dtype)


def request(
    outputs: tuple[RequestedOutput, ...] = (), *, binary: bool = True, **inputs: Array
) -> InferRequest:
    return InferRequest("m", inputs, outputs=outputs, binary_by_default=binary)


BAD: dict[str, tuple[ModelSpec, InferRequest, str]] = {
    "C13-unknown-output": (PLAIN, request((RequestedOutput("z"),), x=zeros(4)), "no output 'z'"),
    "C14-classification-of-BYTES": (
        CLASSES,
        request((RequestedOutput("text", classification=1),), x=zeros(4)),
        "but the output is BYTES",
    ),
    "C14-classification-of-BOOL": (
        CLASSES,
        request((RequestedOutput("flag", classification=1),), x=zeros(4)),
        "but the output is BOOL",
    ),
    "C14-classification-of-FP16": (
        CLASSES,
        request((RequestedOutput("half", classification=1),), x=zeros(4)),
        "but the output is FP16",
    ),
    "D7-FP16-output-as-JSON": (
        CLASSES,
        request((RequestedOutput("half", False),), x=zeros(4)),
        "ask for binary data",
    ),
    "D7-BF16-output-as-JSON": (
        CLASSES,
        request((RequestedOutput("brain"),), binary=False, x=zeros(4)),
        "ask for binary data",
    ),
    "D7-all-outputs-as-JSON": (CLASSES, request(binary=False, x=zeros(4)), "ask for binary data"),
    "E1-zero-where-the-model-has-a-size": (PLAIN, request(x=zeros(0)), "expects shape [4], got [0]"),
    "E3-scalar-for-a-vector": (PLAIN, request(x=zeros()), "expects shape [4], got []"),
    "E3-scalar-for-a-batching-model": (BATCHING, request(x=zeros()), "batch dimension"),
    "E3-vector-for-a-scalar": (SCALAR, request(x=zeros(2)), "expects shape [], got [2]"),
    "E4-batch-of-0": (BATCHING, request(x=zeros(0, 4)), "a batch of 1 to 8 rows, got 0"),
    "E4-batch-over-the-maximum": (BATCHING, request(x=zeros(9, 4)), "a batch of 1 to 8 rows, got 9"),
    "E4-two-batches": (
        PAIR,
        request(a=zeros(2, 2), b=zeros(3, 5)),
        "a batch of 2 rows as input 'a' has, got 3",
    ),
    "E5-other-datatype": (PLAIN, request(x=zeros(4, dtype=np.int32)), "expects datatype FP32, got INT32"),
    "E5-BYTES-for-FP32": (PLAIN, request(x=zeros(4, dtype=np.object_)), "expects datatype FP32, got BYTES"),
    "E5-BF16-for-FP32": (PLAIN, request(x=zeros(4, dtype=ml_dtypes.bfloat16)), "got BF16"),
    "E6-missing-input": (PAIR, request(a=zeros(1, 2)), "missing input(s) 'b'"),
    "E6-no-input": (PAIR, request(), "missing input(s) 'a', 'b'"),
    "E6-extra-input": (PLAIN, request(x=zeros(4), y=zeros(4)), "unexpected input(s) 'y'"),
    "E6-other-input": (PLAIN, request(X1=zeros(4)), "missing input(s) 'x'; unexpected input(s) 'X1'"),
    "E7-equal-count-other-dims": (PLAIN, request(x=zeros(2, 2)), "expects shape [4], got [2,2]"),
    "E7-without-the-batch-dimension": (BATCHING, request(x=zeros(4)), "expects shape [-1,4]"),
    "E7-rank-too-high": (BATCHING, request(x=zeros(1, 4, 1)), "got [1,4,1]"),
    "E7-optional-input": (OPTIONAL, request(x=zeros(4), scale=zeros(3)), "input 'scale'"),
}


@pytest.mark.parametrize(("model", "wrong", "words"), BAD.values(), ids=BAD.keys())
def test_what_the_model_does_not_take_is_refused(model: ModelSpec, wrong: InferRequest, words: str) -> None:
    with pytest.raises(TensorMismatch) as caught:
        validate(wrong, model)
    assert words in caught.value.message


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    model = spec(TensorSpec("input_ids", FP32, (4,)), outputs=(TensorSpec("logits", FP32, (2,)),))
    with pytest.raises(TensorMismatch, match="did you mean 'input_ids'"):
        validate(request(input_id=zeros(4)), model)
    with pytest.raises(TensorMismatch, match="did you mean 'logits'"):
        validate(request((RequestedOutput("logit"),), input_ids=zeros(4)), model)


GOOD: dict[str, tuple[ModelSpec, InferRequest, int]] = {
    "no-batching-is-one-row": (PLAIN, request(x=zeros(4)), 1),
    "rows-are-the-first-dimension": (BATCHING, request(x=zeros(8, 4)), 8),
    "free-dimensions-take-any-size": (PAIR, request(a=zeros(3, 2), b=zeros(3, 7)), 3),
    "E1-zero-where-a-dimension-is-free": (PAIR, request(a=zeros(3, 2), b=zeros(3, 0)), 3),
    "E1-batch-of-0-of-a-model-that-does-not-batch": (
        spec(TensorSpec("x", FP32, (-1, 4))),
        request(x=zeros(0, 4)),
        1,
    ),
    "E3-scalar": (SCALAR, request(x=zeros()), 1),
    "optional-input-left-out": (OPTIONAL, request(x=zeros(4)), 1),
    "optional-input-given": (OPTIONAL, request(x=zeros(4), scale=zeros()), 1),
    "classes-of-floats": (CLASSES, request((RequestedOutput("y", classification=99),), x=zeros(4)), 1),
    "half-floats-as-bytes": (
        CLASSES,
        request((RequestedOutput("half", True),), binary=False, x=zeros(4)),
        1,
    ),
}


@pytest.mark.parametrize(("model", "right", "rows"), GOOD.values(), ids=GOOD.keys())
def test_what_the_model_takes_has_rows(model: ModelSpec, right: InferRequest, rows: int) -> None:
    assert validate(right, model) == rows


@pytest.mark.parametrize(
    ("model", "array", "shape"),
    [(SCALAR, zeros(1), ()), (spec(TensorSpec("x", FP32, ()), max_batch_size=4), zeros(3, 1), (3,))],
    ids=["scalar", "scalar-in-each-row"],
)
def test_a_scalar_may_come_with_shape_one_as_triton_shows_it(
    model: ModelSpec, array: Array, shape: tuple[int, ...]
) -> None:
    tolerated = request(x=array)
    validate(tolerated, model)
    assert tolerated.inputs["x"].shape == shape
    assert np.shares_memory(tolerated.inputs["x"], array)
