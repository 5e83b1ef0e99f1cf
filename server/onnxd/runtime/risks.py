"""Finds graphs whose requests could harm the server's process, by reading them: an examination of trials.

Two things that data can do were seen with ONNX Runtime 1.32, and neither needs a faulty model:

- an integer division of the smallest number by -1 kills the process with SIGFPE (by zero is an error);
- where the values of an input say how large an output is, some bytes of request ask for any amount of memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from onnxd.errors import LoadFailed
from onnxd.runtime.graph_facts import ABSENT, Fact, survey
from onnxd.runtime.graph_file import read_graph
from onnxd.runtime.onnx_session import OnnxSession

if TYPE_CHECKING:
    import onnx

"""The name of the examination."""

_SIZED_BY: Final[Mapping[str, tuple[int, ...]]] = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "DFT": (1,),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Tile": (1, 2),
    "Upsample": (1,),
}
"""Operators, and which of their inputs' values say how large the output is. Not those whose output has at
most as many elements as their inputs, such as Reshape and NonZero."""

_SUSPECTS: Final = tuple(name.encode() for name in ("Div", "Loop", *_SIZED_BY))

_MOST_ROUNDS: Final = 2**24
"""A larger constant for how often a Loop goes round is there to mean no limit."""

_SEARCHED_BYTES: Final = 2**20
"""A larger file is faster read than searched; a smaller one often need not be read."""

_SIGNED: Final[Mapping[int, tuple[str, int]]] = {
    3: ("INT8", -(2**7)),
    5: ("INT16", -(2**15)),
    6: ("INT32", -(2**31)),
    7: ("INT64", -(2**63)),
}
"""ONNX's numbers for the element types whose division can overflow, and their smallest numbers."""


@dataclass(frozen=True, slots=True)
class Risks:
    """Why a model had better run in a process of its own, a sentence each."""

    crashes: tuple[str, ...] = ()
    """A request could end the process."""
    sizes: tuple[str, ...] = ()
    """A request could ask for any amount of memory."""

    @classmethod
    def of(cls, finding: Mapping[str, Any]) -> Self:
        """What a trial has found. Raises LoadFailed for anything else: its process may be in any state."""
        try:
            return cls(tuple(map(str, finding["crashes"])), tuple(map(str, finding["sizes"])))
        except (KeyError, TypeError) as error:
            raise LoadFailed("its trial gave an answer that cannot be read") from error


def examine_risks(session: OnnxSession, path: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """{"sent": names of inputs} -> {"crashes": sentences, "sizes": sentences}."""
    found = risks(path, question["sent"])
    return {"crashes": found.crashes, "sizes": found.sizes}


def risks(path: Path, sent: Sequence[str]) -> Risks:
    """`sent` are the inputs that clients may send."""
    if path.stat().st_size <= _SEARCHED_BYTES and not _mentions(path, _SUSPECTS):
        return Risks()
    model = read_graph(path)
    if model is None:
        return Risks(("it is in ONNX Runtime's own format, whose operators are not read",))
    crashes: dict[str, None] = {}
    sizes: dict[str, None] = {}

    def visit(node: onnx.NodeProto, inputs: Sequence[Fact], output: Fact) -> None:
        if reason := crash(node, inputs, output):
            crashes[reason] = None
        if reason := size(node, inputs):
            sizes[reason] = None

    survey(model, sent, visit)
    return Risks(tuple(crashes), tuple(sizes))


def crash(node: onnx.NodeProto, inputs: Sequence[Fact], output: Fact) -> str:
    """How a request could end the process by this node; empty = it could not."""
    if node.op_type != "Div" or len(inputs) != 2:
        return ""
    element = inputs[0].element or inputs[1].element or output.element
    if (element and element not in _SIGNED) or not _may_overflow(element, *inputs):
        return ""
    kind = _SIGNED[element][0] if element else "numbers of a type that is not known"
    return f"{_named(node)} divides {kind} by what may be -1"


def size(node: onnx.NodeProto, inputs: Sequence[Fact]) -> str:
    """How a request could ask for memory by this node; empty = it could not."""
    sizing = [inputs[index] for index in _SIZED_BY.get(node.op_type, ()) if index < len(inputs)]
    if any(fact.driven for fact in sizing):
        return f"the size of what {_named(node)} makes is in the values of the inputs"
    if node.op_type == "Loop" and _collects(node) and _is_endless(inputs):
        return f"the size of what {_named(node)} collects is in the values of the inputs"
    return ""


def _named(node: onnx.NodeProto) -> str:
    return f"{node.op_type} '{node.name or next(iter(node.output), '')}'"


def _may_overflow(element: int, dividend: Fact, divisor: Fact) -> bool:
    if divisor.natural or dividend.natural:
        return False
    if divisor.constant is not None:
        return bool((divisor.constant == -1).any())
    if dividend.constant is not None and element:
        return bool((dividend.constant == _SIGNED[element][1]).any())
    return True


def _collects(loop: onnx.NodeProto) -> bool:
    """Some of its outputs grow by each round; the others are only carried from one to the next."""
    carried = max(0, len(loop.input) - 2)
    return len(loop.output) > carried


def _is_endless(inputs: Sequence[Fact]) -> bool:
    """The values of the inputs say how often a Loop goes round: the count does, or the condition alone."""
    count, condition = inputs[:2]
    counts = count is not ABSENT and (count.constant is None or bool((count.constant <= _MOST_ROUNDS).all()))
    return count.driven or (condition.driven and not counts)


def _mentions(path: Path, words: Sequence[bytes]) -> bool:
    """Whether any of these stands in the file: names of operators stand there as they are."""
    content = path.read_bytes()
    return any(word in content for word in words)
