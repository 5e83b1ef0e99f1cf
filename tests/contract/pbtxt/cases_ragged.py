"""The fields about ragged batches."""

from typing import Final

from onnxd.tensors import BatchInput, BatchKind, Datatype
from tests.contract.pbtxt.case import Case, Refuses, Seen, Takes
from tests.support import sequence_graphs
from tests.support.graphs import identity

_X: Final = 'input { name: "x" data_type: TYPE_FP32 dims: [-1] allow_ragged_batch: true }'
_SUMS: Final = 'output { name: "sums" data_type: TYPE_FP32 dims: [1] }'
_DOUBLED: Final = 'output { name: "doubled" data_type: TYPE_FP32 dims: [-1] }'
_ENDS: Final = "kind: BATCH_ACCUMULATED_ELEMENT_COUNT"
_SCATTER: Final = 'batch_output { target_name: "doubled" source_input: "x" }'
_GRAPH: Final = sequence_graphs.ragged_sums()
_ECHO: Final = f"max_batch_size: 4 {_X} "


def _made(more: str = 'target_name: "ends" source_input: "x" data_type: TYPE_INT32') -> str:
    return f"batch_input {{ {_ENDS} {more} }}"


def _model(*parts: str) -> str:
    return " ".join((f"max_batch_size: 4 {_X} {_SUMS} dynamic_batching {{}}", *parts))


def _kinds(seen: Seen) -> tuple[BatchKind, str]:
    return seen.spec.batch_inputs[0].kind, seen.shown["batch_input"][0]["kind"]


def _batch_inputs(seen: Seen) -> tuple[BatchInput, ...]:
    return seen.spec.batch_inputs


CASES: Final = (
    Case(
        "input.allow_ragged_batch",
        _model(_made()),
        Takes(
            lambda seen: (
                seen.spec.inputs[0].ragged,
                seen.spec.inputs[0].shape,
                seen.shown["input"][0]["allow_ragged_batch"],
                len(seen.spec.inputs),
            ),
            (True, (-1,), True, 1),
        ),
        graph=_GRAPH,
    ),
    Case(
        "input.allow_ragged_batch",
        f"max_batch_size: 4 {_X}",
        Refuses("input[0].allow_ragged_batch: the graph takes [-1,4] for input 'x'"),
        "not flat",
        graph=identity(),
    ),
    Case(
        "input.allow_ragged_batch",
        'max_batch_size: 4 input { name: "x" allow_ragged_batch: true }',
        Refuses("input[0].allow_ragged_batch: needs shape"),
        "without dims",
        graph=_GRAPH,
    ),
    Case(
        "input.allow_ragged_batch",
        _X,
        Refuses("input[0].allow_ragged_batch: needs a max_batch_size"),
        "without batches",
        graph=_GRAPH,
    ),
    Case(
        "input.allow_ragged_batch",
        f"{_model(_made())}".replace("allow_ragged", "reshape { shape: [-1] } allow_ragged"),
        Refuses("input[0].allow_ragged_batch: cannot have a reshape as well"),
        "with a reshape",
        graph=_GRAPH,
    ),
    *(
        Case(
            "batch_input.kind",
            f'{_ECHO} output {{ name: "same" dims: [-1] }} batch_output {{ target_name: "same" '
            f'source_input: "x" }} batch_input {{ kind: BATCH_{kind.name} target_name: "made" '
            f'source_input: "x" data_type: TYPE_INT32 }}',
            Takes(_kinds, (kind, f"BATCH_{kind.name}")),
            kind.value,
            graph=sequence_graphs.batch_input_echo(
                ("rows", "dims") if kind is BatchKind.ITEM_SHAPE else ("requests",)
            ),
        )
        for kind in BatchKind
    ),
    Case(
        "batch_input.kind",
        _model(_made()).replace("BATCH_ACCUMULATED_ELEMENT_COUNT", "BATCH_ITEM_SHAPE"),
        Refuses("batch_input[0].kind: the graph takes [-1] for input 'ends', but item_shape is [-1,1]"),
        "of another rank",
        graph=_GRAPH,
    ),
    Case(
        "batch_input.target_name",
        _model(_made('target_name: "starts" source_input: "x"')),
        Refuses("batch_input[0].target_name[0]: the graph has no input 'starts'; it has 'x', 'ends'"),
        "unknown",
        graph=_GRAPH,
    ),
    Case(
        "batch_input.target_name",
        _model(_made('source_input: "x"')),
        Refuses("batch_input[0].target_name: expected the name of at least one tensor"),
        "missing",
        graph=_GRAPH,
    ),
    Case(
        "batch_input.target_name",
        _model(_made(), 'input { name: "ends" dims: [1] }'),
        Refuses("batch_input[0].target_name[0]: ends is listed under inputs too"),
        "that clients send",
        graph=_GRAPH,
    ),
    Case(
        "batch_input.data_type",
        _model(_made()),
        Takes(_batch_inputs, (BatchInput("ends", Datatype.INT32, BatchKind.ACCUMULATED_ELEMENT_COUNT, "x"),)),
        graph=_GRAPH,
    ),
    Case(
        "batch_input.data_type",
        _model(_made('target_name: "ends" source_input: "x" data_type: TYPE_FP32')),
        Refuses("batch_input[0].data_type: the graph says INT32 for input 'ends'"),
        "differs",
        graph=_GRAPH,
    ),
    Case(
        "batch_input.source_input",
        _model(_made('target_name: "ends" source_input: ["x", "x"]')),
        Refuses("batch_input[0].source_input: expected the name of one input, got 2"),
        "two",
        graph=_GRAPH,
    ),
    Case(
        "batch_input.source_input",
        _model(_made('target_name: "ends" source_input: "z"')),
        Refuses("batch_input[0].source_input[0]: there is no input 'z' that every request has; there is 'x'"),
        "unknown",
        graph=_GRAPH,
    ),
    Case(
        "batch_output.target_name",
        _model(_made(), _DOUBLED, _SCATTER),
        Takes(
            lambda seen: (seen.spec.outputs[1].scatter, seen.shown["batch_output"][0]["target_name"]),
            ("x", ["doubled"]),
        ),
        graph=_GRAPH,
    ),
    Case(
        "batch_output.target_name",
        _model(_made(), _SCATTER),
        Refuses("batch_output[0].target_name[0]: there is no output 'doubled'; list it under output"),
        "not listed",
        graph=_GRAPH,
    ),
    Case(
        "batch_output.source_input",
        _model(_made(), _DOUBLED, _SCATTER.replace('"x"', '"z"')),
        Refuses("batch_output[0].source_input[0]: there is no input 'z'"),
        "unknown",
        graph=_GRAPH,
    ),
    Case(
        "batch_output.source_input",
        _model(_made(), _DOUBLED.replace("[-1]", "[1, -1]"), _SCATTER),
        Refuses("output 'doubled' has a free dimension where input 'x' has none: [1,-1] beside [-1]"),
        "of another rank",
        graph=_GRAPH,
    ),
    Case(
        "batch_output.kind",
        _model(_made(), _DOUBLED, _SCATTER.replace("}", "kind: BATCH_SCATTER_WITH_INPUT_SHAPE }")),
        Takes(lambda seen: seen.spec.outputs[1].scatter, "x"),
        graph=_GRAPH,
    ),
)
