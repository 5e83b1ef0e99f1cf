"""What the nodes of a graph prove, no run may refute: graphs thrown together at random."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxd.errors import ExecutionFailed
from onnxd.runtime.made_up import RowInput
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.probe import Probe
from onnxd.runtime.rowwise.analysis import analyse
from onnxd.tensors import Array, Datatype

SEEDS: Final = range(250)
FATAL: Final = 4


class Graph:
    """From x [batch, 3, 4] to its last value, through a few nodes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.values = ["x"]
        makers: list[Callable[[], None]] = [
            self._elementwise, self._reduced, self._normalised, self._moved, self._reshaped, self._by_count,
            self._multiplied, self._cut, self._picked, self._padded,
        ]  # fmt: skip
        for _ in range(self._random.randint(1, 6)):
            self._random.choice(makers)()

    @property
    def output(self) -> str:
        return self.values[-1]

    def model(self) -> onnx.ModelProto:
        """Without the nodes that nothing comes of."""
        needed = {self.output}
        nodes: list[Any] = []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                nodes.insert(0, node)
                needed.update(node.input)
        graph = helper.make_graph(
            nodes,
            "random",
            [helper.make_tensor_value_info("x", 1, ("batch", 3, 4))],
            [helper.make_tensor_value_info(self.output, 1, None)],
            self._constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    def _one_of(self, *items: Any) -> Any:
        return self._random.choice(items)

    def _value(self) -> str:
        return str(self._random.choice(self.values[-3:]))

    def _axis(self) -> int:
        return self._random.randint(-3, 2)

    def _constant(self, value: Any, kind: Any = np.int64) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def _weights(self, sizes: list[int]) -> str:
        return self._constant(np.random.default_rng(len(sizes)).standard_normal(sizes), np.float32)

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _elementwise(self) -> None:
        sizes = [self._one_of(1, 1, 2, 3, 4) for _ in range(self._random.randint(0, 4))]
        other = self._one_of(self._value(), self._weights(sizes))
        self.values.append(self._add(self._one_of("Add", "Mul", "Max"), [self._value(), other]))

    def _reduced(self) -> None:
        axes = self._one_of([], [self._constant([self._axis()])])
        kind = self._one_of("ReduceMean", "ReduceMax")
        self.values.append(self._add(kind, [self._value(), *axes], keepdims=self._one_of(0, 1)))

    def _normalised(self) -> None:
        kind = self._one_of("Softmax", "LogSoftmax", "CumSum", "ArgMax")
        if kind == "CumSum":
            self.values.append(self._add(kind, [self._value(), self._constant(self._axis())]))
        elif kind == "ArgMax":
            best = self._add(kind, [self._value()], axis=self._axis(), keepdims=self._one_of(0, 1))
            self.values.append(self._add("Cast", [best], to=1))
        else:
            self.values.append(self._add(kind, [self._value()], axis=self._axis()))

    def _moved(self) -> None:
        order = list(range(self._one_of(2, 3, 3, 4)))
        self._random.shuffle(order)
        self.values.append(self._add("Transpose", [self._value()], perm=order))

    def _reshaped(self) -> None:
        kind = self._one_of("Reshape", "Flatten", "Unsqueeze", "Squeeze")
        if kind == "Reshape":
            sizes = [self._one_of(0, -1, 1, 3, 4, 12) for _ in range(self._random.randint(1, 4))]
            self.values.append(self._add(kind, [self._value(), self._constant(sizes)]))
        elif kind == "Flatten":
            self.values.append(self._add(kind, [self._value()], axis=self._axis()))
        else:
            self.values.append(self._add(kind, [self._value(), self._constant([self._axis()])]))

    def _by_count(self) -> None:
        shape = self._add("Shape", [self._value()])
        parts = [
            self._one_of(
                self._add("Gather", [shape, self._constant([self._one_of(0, 0, 1, 2)])]),
                self._constant([self._one_of(-1, 1, 3, 4)]),
            )
            for _ in range(self._random.randint(1, 4))
        ]
        sizes = self._add("Concat", parts, axis=0)
        source = self._one_of(self._value(), self._weights([1, 4]))
        self.values.append(self._add(self._one_of("Reshape", "Expand"), [source, sizes]))

    def _multiplied(self) -> None:
        sizes = [self._one_of(3, 4, 4) for _ in range(self._one_of(1, 2, 2, 3))]
        pair = [self._value(), self._one_of(self._value(), self._weights(sizes))]
        self._random.shuffle(pair)
        self.values.append(self._add("MatMul", pair))

    def _cut(self) -> None:
        ends = [self._constant([value]) for value in (self._one_of(0, 1), self._one_of(2, 2**31 - 1))]
        self.values.append(self._add("Slice", [self._value(), *ends, self._constant([self._axis()])]))

    def _picked(self) -> None:
        places = self._constant(self._one_of(0, [0, 1]))
        self.values.append(self._add("Gather", [self._value(), places], axis=self._axis()))

    def _padded(self) -> None:
        kind = self._one_of("Pad", "Tile", "Concat")
        if kind == "Concat":
            self.values.append(self._add(kind, [self._value(), self._value()], axis=self._axis()))
            return
        rank = self._one_of(2, 3)
        amounts = [self._one_of(0, 0, 1) for _ in range(2 * rank)]
        if kind == "Tile":
            amounts = [1 + amount for amount in amounts[:rank]]
        self.values.append(self._add(kind, [self._value(), self._constant(amounts)]))


def influence(graph: Graph) -> str | None:
    """What a run shows against it; None for a graph that cannot be run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, FATAL
    try:
        session = onnxruntime.InferenceSession(graph.model().SerializeToString(), options)
    except Exception:  # its errors share no class: most of these graphs are nonsense
        return None

    def run(inputs: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
        try:
            return {graph.output: session.run(list(names), dict(inputs))[0]}
        except Exception as error:  # as above
            raise ExecutionFailed(str(error)) from error

    outputs = {graph.output: Datatype.FP32}
    found = Probe(run, [RowInput("x", Datatype.FP32, (3, 4))], outputs, max_rows=5, budget=lambda: 9.0).run()
    return None if found.doubt.startswith("it takes none") else found.influence


@pytest.mark.parametrize("start", SEEDS[::50])
def test_no_run_refutes_what_the_nodes_prove(start: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(start, start + 50):
        graph = Graph(seed)
        proven = not analyse(graph.model(), ["x"], [graph.output]).unproven
        shown = influence(graph) if proven else None
        assert not shown, f"seed {seed}: {shown}\n{onnx.printer.to_text(graph.model())}"
        seen["run" if shown == "" else "not run" if proven else "not proven"] += 1
    assert seen["run"] > 3, seen
