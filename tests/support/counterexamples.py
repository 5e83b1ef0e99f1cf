"""Graphs with a free first dimension whose rows are not independent: none of them may be batched unasked.

By name, and each the bytes of a model. Inputs are `x`, FP32 [batch, 4] unless the name says otherwise, and
`y` has the same first dimension, as the graph says.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from onnx import helper

from onnxd.tensors import Array, Datatype
from tests.support import graphs

Nodes = Sequence[Any]
WIDTH: Final = 4
_CONSTANTS: Final[Mapping[str, Array]] = {
    "zero": np.array([0], np.int64),
    "first": np.array(0, np.int64),
    "one": np.array([1], np.int64),
    "end": np.array([2**31 - 1], np.int64),
    "both": np.array([0, 1], np.int64),
    "true": np.array(True),
    "half": np.array(0.5, np.float32),
    "two": np.array(2, np.float32),
    "twenty": np.array(20, np.float32),
    "small": np.array(1e-3, np.float32),
}


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node in one line: the names are separated by spaces, and `-` is none."""
    sources = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, sources, outputs.split(), **attributes)


def rows(
    *nodes: Any,
    datatype: Datatype = Datatype.FP32,
    gives: Datatype | None = None,
    **constants: Array,
) -> bytes:
    """A graph from x [batch, 4] to y [batch, 4]."""
    used = {name for each in nodes for name in each.input}
    known = {**_CONSTANTS, **constants}
    return graphs.model(
        nodes,
        [graphs.tensor("x", datatype, ("batch", WIDTH))],
        [graphs.tensor("y", gives or datatype, ("batch", WIDTH))],
        {name: value for name, value in known.items() if name in used or name in constants},
    )


def _along_rows(kind: str, **attributes: Any) -> bytes:
    return rows(node(kind, "x", "y", axis=0, **attributes))


def _cumulated() -> bytes:
    return rows(node("CumSum", "x first", "y"))


def _standardised() -> bytes:
    """What batch normalisation does in training, spelled out."""
    return rows(
        node("ReduceMean", "x zero", "mean"),
        node("Sub", "x mean", "moved"),
        node("Mul", "moved moved", "squares"),
        node("ReduceMean", "squares zero", "variance"),
        node("Sqrt", "variance", "deviation"),
        node("Add", "deviation small", "divisor"),
        node("Div", "moved divisor", "y"),
    )


def _normalised_at_once() -> bytes:
    """InstanceNormalization over everything as one channel."""
    return rows(
        node("Shape", "x", "shape"),
        node("Reshape", "x flat", "all"),
        node("InstanceNormalization", "all scale bias", "normal"),
        node("Reshape", "normal shape", "y"),
        flat=np.array([1, 1, -1], np.int64),
        scale=np.ones(1, np.float32),
        bias=np.zeros(1, np.float32),
    )


def _layer_norm_over_rows() -> bytes:
    """By the last axis, on which the rows have come to lie."""
    return rows(
        node("Transpose", "x", "columns", perm=[1, 0]),
        node("LpNormalization", "columns", "normal", axis=-1),
        node("Transpose", "normal", "y", perm=[1, 0]),
    )


def _attention() -> bytes:
    """Each row attends to all rows."""
    return rows(
        node("Transpose", "x", "keys", perm=[1, 0]),
        node("MatMul", "x keys", "scores"),
        node("Softmax", "scores", "weights", axis=-1),
        node("MatMul", "weights x", "y"),
    )


def _covariance() -> bytes:
    return rows(
        node("Transpose", "x", "columns", perm=[1, 0]),
        node("MatMul", "columns x", "products"),
        node("MatMul", "x products", "y"),
    )


def _sorted() -> bytes:
    return rows(
        node("Shape", "x", "count", start=0, end=1), node("TopK", "x count", "y places", axis=0, sorted=1)
    )


def _unique() -> bytes:
    return rows(node("Unique", "x", "y", axis=0, sorted=1))


def _plus_count_of_positives() -> bytes:
    return rows(
        node("Relu", "x", "positive"),
        node("NonZero", "positive", "places"),
        node("Shape", "places", "count", start=1, end=2),
        node("Cast", "count", "number", to=1),
        node("Add", "x number", "y"),
    )


def _folded() -> bytes:
    """Reshaped so that elements of different rows become one row."""
    return rows(
        node("Reshape", "x columns", "long"),
        node("Transpose", "long", "y", perm=[1, 0]),
        columns=np.array([WIDTH, -1], np.int64),
    )


def _transposed() -> bytes:
    return rows(
        node("Shape", "x", "shape"),
        node("Transpose", "x", "columns", perm=[1, 0]),
        node("Reshape", "columns shape", "y"),
    )


def _by_the_largest() -> bytes:
    return rows(
        node("Abs", "x", "size"),
        node("ReduceMax", "size", "largest", keepdims=0),
        node("Div", "x largest", "y"),
    )


def _where_largest() -> bytes:
    return rows(
        node("ReduceMax", "x zero", "largest"),
        node("Equal", "x largest", "is_largest"),
        node("Neg", "x", "negative"),
        node("Where", "is_largest x negative", "y"),
    )


def _compressed() -> bytes:
    """Rows that begin with a negative number are left out."""
    return rows(
        node("Gather", "x first", "beginning", axis=1),
        node("Greater", "beginning zero_float", "kept"),
        node("Compress", "x kept", "y", axis=0),
        zero_float=np.array(0, np.float32),
    )


def _by_the_count() -> bytes:
    return rows(
        node("Shape", "x", "count", start=0, end=1), node("Cast", "count", "number", to=1),
        node("Div", "x number", "y"),
    )  # fmt: skip


def _branched(limit: str) -> bytes:
    """Doubled when any element of the batch is over a limit."""
    shape = ("batch", WIDTH)
    branches = [
        helper.make_graph(nodes, name, [], [graphs.tensor(output, Datatype.FP32, shape)])
        for name, output, nodes in (
            ("more", "doubled", [node("Mul", "x two", "doubled")]),
            ("less", "same", [node("Identity", "x", "same")]),
        )
    ]
    return rows(
        node("ReduceMax", "x", "largest", keepdims=0),
        node("Greater", f"largest {limit}", "is_over"),
        node("If", "is_over", "y", then_branch=branches[0], else_branch=branches[1]),
        two=_CONSTANTS["two"],
    )


def _looped() -> bytes:
    """Halved until no element of the batch is over one half."""
    body = helper.make_graph(
        [
            node("Mul", "carried half", "next"),
            node("ReduceMax", "next", "largest", keepdims=0),
            node("Greater", "largest half", "going_on"),
        ],
        "body",
        [
            graphs.tensor("step", Datatype.INT64, ()),
            graphs.tensor("going", Datatype.BOOL, ()),
            graphs.tensor("carried", Datatype.FP32, ("batch", WIDTH)),
        ],
        [
            graphs.tensor("going_on", Datatype.BOOL, ()),
            graphs.tensor("next", Datatype.FP32, ("batch", WIDTH)),
        ],
    )
    return rows(
        node("Loop", "most true x", "y", body=body),
        most=np.array(50, np.int64),
        half=_CONSTANTS["half"],
    )


def _noisy() -> bytes:
    return rows(node("RandomNormalLike", "x", "noise"), node("Add", "x noise", "y"))


def _dropped_out() -> bytes:
    return rows(node("Dropout", "x half true", "y"))


def _rolled() -> bytes:
    """Each row is given what the next one asked for."""
    return rows(
        node("Slice", "x one end zero", "rest"),
        node("Slice", "x zero one zero", "head"),
        node("Concat", "rest head", "y", axis=0),
    )


def _reversed() -> bytes:
    return rows(
        node("Shape", "x", "count", start=0, end=1),
        node("Squeeze", "count", "number"),
        node("Add", "number down", "last"),
        node("Range", "last down down", "places"),
        node("Gather", "x places", "y", axis=0),
        down=np.array(-1, np.int64),
    )


def _first_for_all() -> bytes:
    return rows(
        node("Shape", "x", "shape"),
        node("Slice", "x zero one zero", "head"),
        node("Expand", "head shape", "y"),
    )


def _minus_the_best() -> bytes:
    """The row that is largest in its first place."""
    return rows(
        node("Gather", "x first", "beginning", axis=1),
        node("ArgMax", "beginning", "best", axis=0, keepdims=1),
        node("Gather", "x best", "row", axis=0),
        node("Sub", "x row", "y"),
    )


def _quantised() -> bytes:
    """Dynamic quantisation: one scale for the whole batch."""
    return rows(
        node("DynamicQuantizeLinear", "x", "quantised scale zero_point"),
        node("DequantizeLinear", "quantised scale zero_point", "y"),
    )


def _numbered() -> bytes:
    """Each row is added its place."""
    return rows(
        node("Shape", "x", "count", start=0, end=1),
        node("Squeeze", "count", "number"),
        node("Range", "first number step", "places"),
        node("Unsqueeze", "places one", "column"),
        node("Cast", "column", "added", to=1),
        node("Add", "x added", "y"),
        step=np.array(1, np.int64),
    )


def _through_time() -> bytes:
    """A recurrence that takes rows for steps in time."""
    random = np.random.default_rng(0)
    return rows(
        node("Unsqueeze", "x one", "steps"),
        node("RNN", "steps w r", "states", hidden_size=WIDTH),
        node("Reshape", "states back", "y"),
        w=random.standard_normal((1, WIDTH, WIDTH)).astype(np.float32),
        r=random.standard_normal((1, WIDTH, WIDTH)).astype(np.float32),
        back=np.array([-1, WIDTH], np.int64),
    )


def _convolved() -> bytes:
    """Rows as a sequence, each smoothed with its neighbours."""
    return rows(
        node("Transpose", "x", "columns", perm=[1, 0]),
        node("Unsqueeze", "columns one", "signals"),
        node("Conv", "signals kernel", "smooth", pads=[1, 1]),
        node("Squeeze", "smooth one", "rows"),
        node("Transpose", "rows", "y", perm=[1, 0]),
        kernel=np.full((1, 1, 3), 1 / 3, np.float32),
    )


def _hardly_leaking() -> bytes:
    """A thousandth of the batch's mean."""
    return rows(
        node("ReduceMean", "x zero", "mean"),
        node("Mul", "mean small", "little"),
        node("Add", "x little", "y"),
    )


def _integers() -> bytes:
    return rows(node("ReduceMin", "x zero", "least"), node("Sub", "x least", "y"), datatype=Datatype.INT32)


def _truths() -> bytes:
    return rows(
        node("Cast", "x", "numbers", to=6),
        node("ReduceMax", "numbers zero", "any_number"),
        node("Cast", "any_number", "any", to=9),
        node("Xor", "x any", "y"),
        datatype=Datatype.BOOL,
    )


def _texts() -> bytes:
    return rows(
        node("Slice", "x zero one zero", "head"),
        node("StringConcat", "x head", "y"),
        datatype=Datatype.BYTES,
    )


def _tokens() -> bytes:
    """Embedded in a table of 11, then minus the mean of the batch."""
    table = np.random.default_rng(0).standard_normal((11, 3)).astype(np.float32)
    return graphs.model(
        [
            node("Gather", "table x", "embedded"),
            node("ReduceMean", "embedded zero", "mean"),
            node("Sub", "embedded mean", "y"),
        ],
        [graphs.tensor("x", Datatype.INT64, ("batch", "length"))],
        [graphs.tensor("y", Datatype.FP32, ("batch", "length", 3))],
        {"table": table, "zero": _CONSTANTS["zero"]},
    )


def _scattered() -> bytes:
    """Each row is written to the place that it names, over what is there."""
    return rows(
        node("Shape", "x", "shape"),
        node("Gather", "shape first", "number"),
        node("Gather", "x first", "beginning", axis=1),
        node("Cast", "beginning", "wanted", to=7),
        node("Mod", "wanted number", "place"),
        node("Unsqueeze", "place one", "places"),
        node("ScatterND", "x places x", "y", reduction="add"),
    )


def deadly_but_for_zeros() -> bytes:
    """y = smallest / (x - 2) - the least x of the batch, INT64: zeros are well, a 1 kills the process.

    Not one of those below: it cannot be run on made-up rows.
    """
    return rows(
        node("Sub", "x second", "less"),
        node("Div", "smallest less", "quotient"),
        node("ReduceMin", "x zero", "least"),
        node("Sub", "quotient least", "y"),
        datatype=Datatype.INT64,
        second=np.array(2, np.int64),
        smallest=np.array(-(2**63), np.int64),
    )


COUNTEREXAMPLES: Final[Mapping[str, Callable[[], bytes]]] = {
    "minus the mean of the batch": graphs.minus_batch_mean,
    "softmax over the rows": lambda: _along_rows("Softmax"),
    "log-softmax over the rows": lambda: _along_rows("LogSoftmax"),
    "hardmax over the rows": lambda: _along_rows("Hardmax"),
    "normalised over the rows": lambda: _along_rows("LpNormalization"),
    "cumulated over the rows": _cumulated,
    "standardised over the batch": _standardised,
    "normalised as one instance": _normalised_at_once,
    "normalised over a transposed axis": _layer_norm_over_rows,
    "attention over the rows": _attention,
    "times its own covariance": _covariance,
    "sorted rows": _sorted,
    "unique rows": _unique,
    "plus the count of positives": _plus_count_of_positives,
    "rows folded into one another": _folded,
    "transposed and cut anew": _transposed,
    "divided by the largest of all": _by_the_largest,
    "where it is the largest of its column": _where_largest,
    "some rows left out": _compressed,
    "divided by the number of rows": _by_the_count,
    "a branch for the whole batch": lambda: _branched("two"),
    "a branch for batches with a large number": lambda: _branched("twenty"),
    "a loop for the whole batch": _looped,
    "random noise": _noisy,
    "dropout as in training": _dropped_out,
    "each row's answer for the next": _rolled,
    "rows reversed": _reversed,
    "the first row for all": _first_for_all,
    "minus the best row": _minus_the_best,
    "dynamic quantisation": _quantised,
    "plus its place": _numbered,
    "rows as steps in time": _through_time,
    "rows smoothed with their neighbours": _convolved,
    "a thousandth of the mean": _hardly_leaking,
    "integers minus the least": _integers,
    "truths against any": _truths,
    "texts behind the first": _texts,
    "tokens minus the mean of the batch": _tokens,
    "rows scattered onto one another": _scattered,
    "only the first row": graphs.first_row,
}
"""All of them load and run in ONNX Runtime."""
