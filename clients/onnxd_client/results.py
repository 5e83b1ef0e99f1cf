"""What calls return: plain frozen values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxd_client.errors import ServerFault
from onnxd_client.tensors import Array


@dataclass(frozen=True, slots=True)
class Classification:
    """One of the highest values of an output; `label` is "" when the model has none."""

    value: float
    index: int
    label: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InferResult(Mapping[str, Array]):
    """The outputs by name, in the server's order, and what answered.

    Arrays belong to the caller: aligned, writable, and independent of each other. A BYTES output is an
    object array of `bytes`; `text` and `classes` read it further.
    """

    model_name: str
    model_version: str
    id: str
    outputs: Mapping[str, Array]
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        try:
            return self.outputs[name]
        except KeyError:
            raise KeyError(f"no output {name!r} in the answer, which has {', '.join(self.outputs)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    def text(self, name: str) -> Array:
        """A BYTES output as an object array of `str`; raises UnicodeDecodeError if it is not UTF-8."""
        array = self[name].copy()
        flat = array.reshape(-1)
        flat[:] = [element.decode() for element in flat]
        return array

    def classes(self, name: str) -> list[list[Classification]]:
        """An output that was asked for with `classes=`, highest first, one list for each row."""
        array = self[name]
        width = array.shape[-1] if array.ndim else 1
        if array.dtype != object:
            raise ValueError(f"output {name!r} is {array.dtype}: ask for it with classes={{{name!r}: 3}}")
        flat = [_classification(name, element) for element in array.reshape(-1).tolist()]
        return [flat[start : start + width] for start in range(0, len(flat), width)] if width else []

    def __eq__(self, other: object) -> bool:
        # A mapping would compare the arrays, whose equality is not one truth value.
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        outputs = ", ".join(
            f"{name}: {array.dtype}{list(array.shape)}" for name, array in self.outputs.items()
        )
        return f"<InferResult of {self.model_name} version {self.model_version}: {outputs}>"


def _classification(name: str, element: bytes) -> Classification:
    try:
        value, index, *label = str(element, "utf-8").split(":", 2)
        return Classification(float(value), int(index), label[0] if label else "")
    except ValueError:
        raise ServerFault(
            f"output {name!r}: {element!r} is not a classification (value:index:label)"
        ) from None


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """An input or output; -1 in the shape stands for any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """Which server this is, and which protocol extensions it speaks."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A version of a model in the repository; `version` and `state` are "" for one that was never loaded."""

    name: str
    version: str
    state: str
    reason: str
    memory: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Bytes, as far as the server says: peak_bytes while it was loaded, resident_bytes since, returned_bytes
    by the last unload. Over HTTP only."""


Document = dict[str, Any]
"""A JSON object as the protocol defines it, with numbers as numbers on both wires."""
