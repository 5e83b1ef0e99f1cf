"""The fields about inputs and outputs."""

from typing import Final

from tests.contract.pbtxt.case import (
    LABELS,
    Case,
    Refuses,
    Takes,
    Warns,
)
from tests.support import graphs

CASES: Final = (
    Case(
        "input.name",
        'input { name: "y" dims: [-1, 4] data_type: TYPE_FP32 }',
        Refuses("input[0].name: the graph has no input 'y'; it has 'x'"),
    ),
    Case(
        "input.name",
        'input [ { name: "b" }, { name: "a" } ]',
        Takes(lambda seen: [tensor.name for tensor in seen.spec.inputs], ["b", "a"]),
        "in its order",
        graph=graphs.two_inputs(),
    ),
    Case(
        "input.data_type",
        'input { name: "x" data_type: TYPE_FP32 }',
        Takes(lambda seen: seen.shown["input"][0]["data_type"], "TYPE_FP32"),
    ),
    Case(
        "input.data_type",
        'input { name: "x" data_type: TYPE_STRING }',
        Refuses("input[0].data_type: config.pbtxt says BYTES, the graph says FP32"),
        "differs",
    ),
    Case(
        "input.dims",
        'max_batch_size: 4 input { name: "x" dims: [7] }',
        Takes(lambda seen: (seen.spec.inputs[0].shape, seen.shown["input"][0]["dims"]), ((7,), [7])),
        graph=graphs.identity(dims=("batch", "n")),
    ),
    Case(
        "input.dims",
        'input { name: "x" dims: [-1, 5] }',
        Refuses("input[0].dims: config.pbtxt says [-1, 5], the graph says [-1, 4]"),
        "differ",
    ),
    Case(
        "input.dims",
        'input { name: "x" dims: [1] } output { name: "y" dims: [1] }',
        Takes(
            lambda seen: (
                seen.spec.inputs[0].shape,
                seen.spec.inputs[0].graph_shape,
                seen.shown["input"][0]["dims"],
            ),
            ((1,), (), [1]),
        ),
        "of a scalar",
        graph=graphs.scalar(),
    ),
    Case(
        "input.reshape.shape",
        'input { name: "x" dims: [4] reshape: { shape: [2, 2] } }',
        Takes(
            lambda seen: (
                seen.spec.inputs[0].shape,
                seen.spec.inputs[0].reshape,
                seen.shown["input"][0]["reshape"],
            ),
            ((4,), (2, 2), {"shape": [2, 2]}),
        ),
        graph=graphs.identity(dims=(2, 2)),
    ),
    Case(
        "input.reshape.shape",
        'max_batch_size: 4 input { name: "x" dims: [1] reshape: { shape: [] } }',
        Takes(
            lambda seen: (
                seen.spec.inputs[0].shape,
                seen.spec.inputs[0].reshape,
                seen.shown["input"][0]["reshape"],
            ),
            ((1,), (), {"shape": []}),
        ),
        "to nothing",
        graph=graphs.identity(dims=("batch",)),
    ),
    Case(
        "input.reshape.shape",
        'input { name: "x" dims: [4] reshape: { shape: [3] } }',
        Refuses("input[0].reshape.shape: [4] and [3] differ in the number of elements: 4 and 3"),
        "of other size",
    ),
    Case(
        "input.optional",
        'input { name: "x" } input { name: "bias" optional: true }',
        Takes(lambda seen: (seen.spec.inputs[1].optional, seen.shown["input"][1]["optional"]), (True, True)),
        graph=graphs.optional_initializer(),
    ),
    Case(
        "input.optional",
        'input { name: "x" optional: true }',
        Refuses("input[0].optional: the graph has no default for the input 'x'"),
        "without a default",
    ),
    Case(
        "input.format",
        'max_batch_size: 2 input { name: "x" dims: [3, 2, 2] format: FORMAT_NCHW }',
        Takes(lambda seen: seen.shown["input"][0]["format"], "FORMAT_NCHW"),
        graph=graphs.identity(dims=("batch", 3, 2, 2)),
    ),
    Case(
        "input.is_shape_tensor",
        'input { name: "x" is_shape_tensor: true }',
        Refuses("input[0].is_shape_tensor: not supported"),
    ),
    Case(
        "input.is_non_linear_format_io",
        'input { name: "x" is_non_linear_format_io: true }',
        Refuses("input[0].is_non_linear_format_io: not supported"),
    ),
    Case(
        "output.name",
        'output { name: "difference" }',
        Takes(lambda seen: [tensor.name for tensor in seen.spec.outputs], ["difference"]),
        graph=graphs.two_inputs(),
    ),
    Case(
        "output.name",
        'output { name: "z" }',
        Refuses("output[0].name: the graph has no output 'z'; it has 'y'"),
        "unknown",
    ),
    Case(
        "output.data_type",
        'output { name: "y" data_type: TYPE_FP32 }',
        Takes(lambda seen: seen.shown["output"][0]["data_type"], "TYPE_FP32"),
    ),
    Case(
        "output.dims",
        'max_batch_size: 4 output { name: "y" dims: [7] }',
        Takes(lambda seen: seen.spec.outputs[0].shape, (7,)),
        graph=graphs.identity(dims=("batch", "n")),
    ),
    Case(
        "output.reshape.shape",
        'max_batch_size: 4 output { name: "y" dims: [2, 2] reshape { shape: [4] } }',
        Takes(
            lambda seen: (
                seen.spec.outputs[0].shape,
                seen.spec.outputs[0].reshape,
                seen.shown["output"][0]["reshape"],
            ),
            ((2, 2), (4,), {"shape": [4]}),
        ),
    ),
    Case(
        "output.label_filename",
        'max_batch_size: 4 output { name: "y" label_filename: "labels.txt" }',
        Takes(
            lambda seen: (seen.spec.outputs[0].labels, seen.shown["output"][0]["label_filename"]),
            (("a", "b", "c", "d"), "labels.txt"),
        ),
        files=LABELS,
    ),
    Case(
        "output.label_filename",
        'max_batch_size: 4 output { name: "y" label_filename: "labels.txt" }',
        Warns("labels: the file has 1 line, but output 'y' has 4 classes"),
        "too short",
        files={"labels.txt": b"a\n"},
    ),
    Case(
        "output.label_filename",
        'output { name: "y" label_filename: "labels.txt" }',
        Refuses("labels file 'labels.txt' is not in the model's directory"),
        "missing",
    ),
    Case(
        "output.is_shape_tensor",
        'output { name: "y" is_shape_tensor: true }',
        Refuses("output[0].is_shape_tensor: not supported"),
    ),
    Case(
        "output.is_non_linear_format_io",
        'output { name: "y" is_non_linear_format_io: true }',
        Refuses("output[0].is_non_linear_format_io: not supported"),
    ),
)
