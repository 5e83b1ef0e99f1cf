"""A model for one field of Triton's ModelConfig: what its config.pbtxt says, and what must come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from onnxd.repository.config import ModelConfig
from onnxd.repository.served import ServedVersion
from onnxd.tensors import ModelSpec
from tests.support import graphs


@dataclass(frozen=True, slots=True)
class Seen:
    """A model that was loaded."""

    served: ServedVersion
    shown: Mapping[str, Any]
    """The configuration endpoint's answer over HTTP."""

    @property
    def config(self) -> ModelConfig:
        return self.served.config

    @property
    def spec(self) -> ModelSpec:
        return self.served.spec


@dataclass(frozen=True, slots=True)
class Takes:
    """The model loads without a warning, and this can be seen of it."""

    look: Callable[[Seen], object]
    expected: object


@dataclass(frozen=True, slots=True)
class Warns:
    """The model loads, and the warning has this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Refuses:
    """The model does not load, and the reason has this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """`path`: the field that it is about, dotted and without indexes."""

    path: str
    text: str
    outcome: Takes | Warns | Refuses
    note: str = ""
    """For the id, where a field has more than one case."""
    graph: bytes = field(default_factory=graphs.identity)
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.path} {self.note}".strip()


X: Final = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }'
Y: Final = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }'
BATCHED: Final = f"max_batch_size: 8 {X} {Y}"
DYNAMIC: Final = f"{BATCHED} dynamic_batching"
FULL: Final = f"{X} {Y}".replace("dims: [4]", "dims: [-1, 4]")
LABELS: Final = {"labels.txt": b"a\nb\nc\nd\n"}


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value: {{ string_value: "{value}" }} }}'


def warmup(more: str, data: str = "zero_data: true") -> str:
    return (
        f'{DYNAMIC} {{}} model_warmup {{ name: "w" batch_size: 2 {more} '
        f'inputs {{ key: "x" value {{ data_type: TYPE_FP32 dims: [4] {data} }} }} }}'
    )


def group(text: str) -> str:
    return f"instance_group [ {{ {text} }} ]"


def accelerator(where: str, text: str) -> str:
    return f"optimization {{ execution_accelerators {{ {where}_execution_accelerator {{ {text} }} }} }}"
