"""Every key of a model's config as it is in force, and where each value comes from. Pure."""

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onnxd.repository.config import InputConfig, ModelConfig, OutputConfig
from onnxd.repository.config_file import LoadedConfig, document_type
from onnxd.repository.document import Loc, path_text
from onnxd.repository.version_policy import VersionPolicy
from onnxd.runtime.threads import cpu_budget
from onnxd.tensors import ModelSpec, TensorSpec
from onnxd.units import bytes_of, duration

DEFAULT: Final = "default"
GRAPH: Final = "graph"
PROOF: Final = "its rows, which are independent"
"""Of a model that serves: whether they are is found out when it is loaded."""
MACHINE: Final = "the CPUs of this process"


@dataclass(frozen=True, slots=True)
class Explained:
    """One key."""

    key: str
    value: Any
    """As JSON has it; durations and sizes with their unit; None = nothing."""
    source: str
    """The config's file name, `graph`, `default`, or what else decides."""
    line: int = 0
    """In that file; 0 = it has no lines."""

    @property
    def origin(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    def row(self) -> tuple[str, str, str]:
        return self.key, _shown(self.value), self.origin

    def document(self) -> dict[str, Any]:
        file = self.source if self.line else None
        source = "file" if file else {MACHINE: "machine", PROOF: "proof"}.get(self.source, self.source)
        return {
            "key": self.key,
            "value": self.value,
            "source": source,
            "file": file,
            "line": self.line or None,
        }


def explained(loaded: LoadedConfig, spec: ModelSpec) -> Iterator[Explained]:
    """Every key, in the order of the documentation. Pure, but for the machine's count of CPUs."""
    return _Explanation(loaded, spec).keys()


class _Explanation:
    def __init__(self, loaded: LoadedConfig, spec: ModelSpec) -> None:
        self._loaded = loaded
        self._document = loaded.document
        self._spec = spec

    def keys(self) -> Iterator[Explained]:
        config = self._loaded.config
        for field in dataclasses.fields(ModelConfig):
            match field.name:
                case "inputs":
                    yield from self._tensors("inputs", self._spec.inputs, config.inputs)
                case "outputs":
                    yield from self._tensors("outputs", self._spec.outputs, config.outputs)
                case _:
                    yield from self._key((field.name,), getattr(config, field.name))

    def _tensors(
        self, key: str, tensors: Sequence[TensorSpec], stated: Sequence[InputConfig | OutputConfig]
    ) -> Iterator[Explained]:
        places = {each.name: index for index, each in enumerate(stated)}
        kind = InputConfig if key == "inputs" else OutputConfig
        for index, tensor in enumerate(tensors):
            at = places.get(tensor.name)
            entry = stated[at] if at is not None else kind(tensor.name)
            for field in dataclasses.fields(kind):
                value = getattr(entry, field.name)
                loc: Loc = () if at is None else (key, at, field.name)
                effective = {"datatype": tensor.datatype.value, "shape": list(tensor.shape)}
                silent = GRAPH if field.name in ("name", "datatype", "shape") else DEFAULT
                name = f"{key}[{index}].{field.name}"
                yield self._from(loc, name, effective.get(field.name, _plain(value)), silent)

    def _key(self, loc: Loc, value: Any) -> Iterator[Explained]:
        name = path_text(loc)
        if loc == ("session", "intra_op_threads") and value == 0:
            yield Explained(name, cpu_budget(), MACHINE)
        elif loc == ("max_batch_size",) and value is None and self._spec.batches:
            yield Explained(name, self._spec.max_batch_size, PROOF)
        elif loc == ("warmup", "batch_sizes") and value is None:
            rows = self._spec.max_batch_size
            silent = [1, rows] if rows and not self._loaded.config.warmup.samples else None
            yield self._from(loc, name, silent, DEFAULT)
        elif dataclasses.is_dataclass(value) and not isinstance(value, VersionPolicy):
            for field in dataclasses.fields(value):
                yield from self._key((*loc, field.name), getattr(value, field.name))
        elif isinstance(value, Mapping) and value:
            for each, below in value.items():
                yield from self._key((*loc, each), below)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for index, below in enumerate(value):
                yield from self._key((*loc, index), below)
        else:
            yield self._from(loc, name, self._with_unit(loc, value), DEFAULT)

    def _from(self, loc: Loc, name: str, value: Any, otherwise: str) -> Explained:
        node = self._document.nodes.get(loc) if loc else None
        if node is None:
            return Explained(name, value, otherwise)
        return Explained(name, value, self._document.source, node.start.line)

    def _with_unit(self, loc: Loc, value: Any) -> Any:
        schema = str(document_type().schema_at(loc) or "")
        if isinstance(value, float) and "'5ms'" in schema:
            return duration(value)
        if isinstance(value, int) and "'64MiB'" in schema:
            return bytes_of(value)
        return _plain(value)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, VersionPolicy):
        if value.only:
            return list(value.only)
        return "all" if value.latest is None else {"latest": value.latest}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _shown(value: Any) -> str:
    """As config.yaml writes it."""
    match value:
        case None:
            return "none"
        case "":
            return '""'
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_shown(item)}' for key, item in value.items())}}}"
    return str(value)
