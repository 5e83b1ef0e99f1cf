"""A model's graph and its config.yaml -> what clients may send and get back, or all that they disagree on."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from onnxd.repository.config import InputConfig, ModelConfig, OutputConfig
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.document import Loc, shown
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

_NO_LABELS: Mapping[str, Sequence[str]] = MappingProxyType({})


def merge(
    name: str,
    version: int,
    loaded: LoadedConfig,
    graph: GraphSpec,
    labels: Mapping[str, Sequence[str]] = _NO_LABELS,
) -> ModelSpec:
    """The spec of one version. The config may narrow what the graph says, never contradict it.

    `labels`: by output, the lines of the files that the config names (ModelConfig.label_files). All of the
    graph's required inputs are in the spec, in its order, then those with a default that the config lists.
    Raises LoadFailed with every disagreement, each at its line of the config and with the way to mend it.
    """
    merger = _Merger(loaded.config, graph, labels)
    inputs = tuple(merger.inputs())
    outputs = tuple(merger.outputs())
    if merger.problems:
        raise loaded.failure(merger.problems)
    return ModelSpec(
        name=name,
        version=version,
        inputs=inputs,
        outputs=outputs,
        max_batch_size=loaded.config.max_batch_size or 0,
    )


class _Merger:
    """Collects problems on the way, so that all are reported at once."""

    def __init__(self, config: ModelConfig, graph: GraphSpec, labels: Mapping[str, Sequence[str]]) -> None:
        self.problems: list[tuple[Loc, str]] = []
        self._config = config
        self._graph = graph
        self._labels = labels

    def inputs(self) -> Iterator[TensorSpec]:
        required = {tensor.name: tensor for tensor in self._graph.inputs}
        optional = {tensor.name: tensor for tensor in self._graph.optional}
        listed = {tensor.name: (index, tensor) for index, tensor in enumerate(self._config.inputs)}
        for name, tensor in required.items():
            index, entry = listed.get(name, (None, InputConfig(name)))
            if entry.optional:
                text = (
                    f"the graph has no default for the input '{shown(name)}', so clients must always send it"
                )
                self.problems.append((("inputs", index or 0, "optional"), text))
            yield self._spec("inputs", index, entry, tensor)
        for name, (index, entry) in listed.items():
            if name in optional:
                yield self._spec("inputs", index, entry, optional[name], optional=entry.optional)
            elif name not in required:
                self._unknown("inputs", index, name, [*required, *optional])

    def outputs(self) -> Iterator[TensorSpec]:
        known = {tensor.name: tensor for tensor in self._graph.outputs}
        if not self._config.outputs:
            for tensor in known.values():
                yield self._spec("outputs", None, OutputConfig(tensor.name), tensor)
        for index, entry in enumerate(self._config.outputs):
            if entry.name not in known:
                self._unknown("outputs", index, entry.name, list(known))
                continue
            spec = self._spec("outputs", index, entry, known[entry.name])
            lines = tuple(self._labels.get(entry.name, ())) if entry.labels is not None else ()
            if entry.labels is not None:
                self._check_labels(index, entry.labels, lines, spec)
            yield TensorSpec(spec.name, spec.datatype, spec.shape, labels=lines)

    def _spec(
        self,
        key: str,
        index: int | None,
        entry: InputConfig | OutputConfig,
        tensor: GraphTensor,
        *,
        optional: bool = False,
    ) -> TensorSpec:
        """`index`: the entry's place in the config; None when the config is silent about this tensor."""
        loc: Loc = (key,) if index is None else (key, index)
        what = f"{key.removesuffix('s')} '{shown(tensor.name)}'"
        if entry.datatype is not None and entry.datatype is not tensor.datatype:
            text = f"config.yaml says {entry.datatype.value}, the graph says {tensor.datatype.value}"
            self.problems.append(
                ((*loc, "datatype"), f"{text} for {what}; state the graph's, or leave it out")
            )
        return TensorSpec(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=self._shape(loc, what, entry.shape, tensor),
            optional=optional,
        )

    def _shape(
        self, loc: Loc, what: str, stated: tuple[int, ...] | None, tensor: GraphTensor
    ) -> tuple[int, ...]:
        """Without the batch dimension when the model batches."""
        if not tensor.rank_known and not tensor.shape:
            if stated is None:
                list_ = loc[0]
                text = f"the graph does not say how many dimensions {what} has; state its shape under {list_}"
                self.problems.append((loc, text))
            return stated or ()
        shape = tensor.shape
        if self._config.batches:
            if not shape or shape[0] != -1:
                self.problems.append((("max_batch_size",), _cannot_batch(what, shape)))
                return shape
            shape = shape[1:]
        if stated is None:
            return shape
        if len(stated) != len(shape) or not all(map(_narrows, stated, shape)):
            self.problems.append(((*loc, "shape"), self._shape_text(what, stated, shape, tensor.shape)))
        return stated

    def _shape_text(
        self, what: str, stated: tuple[int, ...], shape: tuple[int, ...], whole: tuple[int, ...]
    ) -> str:
        text = f"config.yaml says {list(stated)}, the graph says {list(shape)} for {what}"
        if self._config.batches:
            text += " (without the batch dimension)"
            if len(stated) == len(whole) and all(map(_narrows, stated[1:], shape)):
                return f"{text}; leave the first dimension out: it is the batch's"
        elif len(stated) + 1 == len(shape) and shape[0] == -1 and all(map(_narrows, stated, shape[1:])):
            return f"{text}; without max_batch_size the shape is complete: state the first dimension too"
        if len(stated) != len(shape):
            return f"{text}; state {_count(len(shape), 'dimension')}"
        return f"{text}; only dimensions that are -1 in the graph may be something else"

    def _unknown(self, key: str, index: int, name: str, known: list[str]) -> None:
        text = f"the graph has no {key.removesuffix('s')} '{shown(name)}'; it has {_listed(known)}"
        self.problems.append(((key, index, "name"), text))

    def _check_labels(self, index: int, file: str, lines: tuple[str, ...], spec: TensorSpec) -> None:
        loc = ("outputs", index, "labels")
        what = f"output '{shown(spec.name)}'"
        if spec.datatype in (Datatype.BYTES, Datatype.BOOL):
            self.problems.append(
                (loc, f"{what} is {spec.datatype.value}: only numbers can be ranked and labelled")
            )
        elif not spec.shape:
            self.problems.append((loc, f"{what} has no dimension of classes to be labelled"))
        elif spec.shape[-1] not in (-1, len(lines)):
            text = f"{file} has {_count(len(lines), 'line')}, but {what} has {spec.shape[-1]} classes"
            self.problems.append((loc, f"{text}; write one label a line"))


def _narrows(stated: int, graph: int) -> bool:
    return graph in (-1, stated)


def _cannot_batch(what: str, shape: tuple[int, ...]) -> str:
    first = f"its first dimension fixed to {shape[0]}" if shape else "no dimensions"
    return (
        f"{what} has {first} in the graph, so rows cannot be batched; "
        "leave max_batch_size out, or export the model with a free first dimension"
    )


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _listed(names: list[str]) -> str:
    shown_names = ", ".join(f"'{shown(name)}'" for name in names[:20])
    return f"{shown_names} and {len(names) - 20} more" if len(names) > 20 else shown_names or "none"
