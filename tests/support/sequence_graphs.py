"""Small models over sequences, as the bytes of their files: what text models do with padding, in little.

Inputs are `ids` INT64 [batch, seq] and, where there is a mask, `mask` INT64 [batch, seq]; outputs are named
in each function. The vocabulary has 50 entries.
"""

from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper

from onnxd.tensors import Datatype
from tests.support.graphs import model, tensor

VOCABULARY: Final = 50
WIDTH: Final = 8
_IDS: Final = ("batch", "seq")


def masked_mean(mask: Datatype = Datatype.INT64) -> bytes:
    """pooled FP32 [batch, 8] = the mean of the embeddings of what the mask says is real, and
    tokens FP32 [batch, seq, 8] = the embeddings."""
    return model(
        [
            helper.make_node("Gather", ["table", "ids"], ["tokens"]),
            helper.make_node("Cast", ["mask"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["real", "last"], ["weights"]),
            helper.make_node("Mul", ["tokens", "weights"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "seq_axis"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["weights", "seq_axis"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["pooled"]),
        ],
        [tensor("ids", Datatype.INT64, _IDS), tensor("mask", mask, _IDS)],
        [
            tensor("pooled", Datatype.FP32, ("batch", WIDTH)),
            tensor("tokens", Datatype.FP32, ("batch", "seq", WIDTH)),
        ],
        _table(last=np.array([2], np.int64), seq_axis=np.array([1], np.int64)),
    )


def plain_mean() -> bytes:
    """pooled FP32 [batch, 8] = the mean over all of the sequence: padding changes it."""
    return model(
        [
            helper.make_node("Gather", ["table", "ids"], ["tokens"]),
            helper.make_node("ReduceMean", ["tokens", "seq_axis"], ["pooled"], keepdims=0),
        ],
        [tensor("ids", Datatype.INT64, _IDS)],
        [tensor("pooled", Datatype.FP32, ("batch", WIDTH))],
        _table(seq_axis=np.array([1], np.int64)),
    )


def masked_attention() -> bytes:
    """hidden FP32 [batch, seq, 8]: one head of self-attention, which does not look at what is masked."""
    random = np.random.default_rng(1)
    weights = {
        name: random.standard_normal((WIDTH, WIDTH)).astype(np.float32) / np.float32(WIDTH) for name in "qkv"
    }
    return model(
        [
            helper.make_node("Gather", ["table", "ids"], ["x"]),
            *(helper.make_node("MatMul", ["x", name], [f"x{name}"]) for name in "qkv"),
            helper.make_node("Transpose", ["xk"], ["xk_t"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["xq", "xk_t"], ["scores"]),
            helper.make_node("Cast", ["mask"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["one", "real"], ["missing"]),
            helper.make_node("Mul", ["missing", "far"], ["away"]),
            helper.make_node("Unsqueeze", ["away", "middle"], ["bias"]),
            helper.make_node("Add", ["scores", "bias"], ["biased"]),
            helper.make_node("Softmax", ["biased"], ["weights"], axis=-1),
            helper.make_node("MatMul", ["weights", "xv"], ["mixed"]),
            helper.make_node("Add", ["x", "mixed"], ["hidden"]),
        ],
        [tensor("ids", Datatype.INT64, _IDS), tensor("mask", Datatype.INT64, _IDS)],
        [tensor("hidden", Datatype.FP32, ("batch", "seq", WIDTH))],
        _table(one=np.array(1, np.float32), far=np.array(-1e9, np.float32), middle=np.array([1], np.int64))
        | weights,
    )


def positions(most: int) -> bytes:
    """placed INT64 [batch, seq] = ids + their positions, of which there are only `most`."""
    return model(
        [
            helper.make_node("Shape", ["ids"], ["length"], start=1, end=2),
            helper.make_node("Slice", ["places", "start", "length"], ["used"]),
            helper.make_node("Add", ["ids", "used"], ["placed"]),
        ],
        [tensor("ids", Datatype.INT64, _IDS)],
        [tensor("placed", Datatype.INT64, _IDS)],
        {"places": np.arange(most, dtype=np.int64), "start": np.array([0], np.int64)},
    )


def picture_sum() -> bytes:
    """total FP32 [batch, 1] = the sum of image FP32 [batch, 3, height, width], and the same image."""
    dims = ("batch", 3, "height", "width")
    return model(
        [
            helper.make_node("ReduceSum", ["image", "all"], ["sum"], keepdims=0),
            helper.make_node("Unsqueeze", ["sum", "one"], ["total"]),
            helper.make_node("Identity", ["image"], ["same"]),
        ],
        [tensor("image", Datatype.FP32, dims)],
        [tensor("total", Datatype.FP32, ("batch", 1)), tensor("same", Datatype.FP32, dims)],
        {"all": np.array([1, 2, 3], np.int64), "one": np.array([1], np.int64)},
    )


def ragged_sums(index: Datatype = Datatype.INT32) -> bytes:
    """Of x FP32 [elements] and where each request ends (`ends` [requests], accumulated counts):
    sums FP32 [requests, 1] = the sum of each request, and doubled FP32 [elements] = 2 x."""
    return model(
        [
            helper.make_node("CumSum", ["x", "zero"], ["running"]),
            helper.make_node("Concat", ["nothing", "running"], ["from_zero"], axis=0),
            helper.make_node("Cast", ["ends"], ["stops"], to=TensorProto.INT64),
            helper.make_node("Slice", ["stops", "start", "minus_one"], ["without_last"]),
            helper.make_node("Concat", ["start", "without_last"], ["starts"], axis=0),
            helper.make_node("Gather", ["from_zero", "stops"], ["until"]),
            helper.make_node("Gather", ["from_zero", "starts"], ["before"]),
            helper.make_node("Sub", ["until", "before"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "last"], ["sums"]),
            helper.make_node("Mul", ["x", "two"], ["doubled"]),
        ],
        [tensor("x", Datatype.FP32, ("elements",)), tensor("ends", index, ("requests",))],
        [tensor("sums", Datatype.FP32, ("requests", 1)), tensor("doubled", Datatype.FP32, ("elements",))],
        {
            "zero": np.array(0, np.int64),
            "nothing": np.zeros(1, np.float32),
            "start": np.array([0], np.int64),
            "minus_one": np.array([-1], np.int64),
            "last": np.array([1], np.int64),
            "two": np.array(2, np.float32),
        },
    )


def batch_input_echo(dims: tuple[int | str, ...], datatype: Datatype = Datatype.INT32) -> bytes:
    """Of x FP32 [elements] and `made` (of any kind): the same `made` as seen FP32 [rows, ...] for one run."""
    return model(
        [
            helper.make_node("Cast", ["made"], ["seen"], to=TensorProto.FLOAT),
            helper.make_node("Identity", ["x"], ["same"]),
        ],
        [tensor("x", Datatype.FP32, ("elements",)), tensor("made", datatype, dims)],
        [tensor("seen", Datatype.FP32, dims), tensor("same", Datatype.FP32, ("elements",))],
    )


def _table(**more: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    table = np.random.default_rng(0).standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
    return {"table": table, **more}
