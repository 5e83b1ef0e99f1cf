"""A model's graph and its config -> what clients may send and get back, or all that they disagree on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from onnxd.repository.axis_rules import axes_of, axis_problems, with_axes
from onnxd.repository.config import InputConfig, OutputConfig
from onnxd.repository.config_file import LoadedConfig, Problem
from onnxd.repository.document import Loc, shown
from onnxd.repository.fault_codes import Code
from onnxd.repository.mends import Mend, Remove, Replace, meant
from onnxd.repository.ragged_rules import batch_inputs_of, ragged_problems
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

_NO_LABELS: Mapping[str, Sequence[str]] = MappingProxyType({})


def merge(
    name: str,
    version: int,
    loaded: LoadedConfig,
    graph: GraphSpec,
    labels: Mapping[str, Sequence[str]] = _NO_LABELS,
    *,
    proven_rows: int = 0,
) -> ModelSpec:
    """The spec of one version. The config may narrow what the graph says, never contradict it.

    `labels`: by output, the lines of the files that the config names (ModelConfig.label_files). All of the
    graph's required inputs are in the spec, and those with a default that the config lists: in the config's
    order when it lists them all, else in the graph's, those with a default last.
    `proven_rows`: what max_batch_size is where the config leaves it open; 0 = the model does not batch.
    Raises LoadFailed with every disagreement, each at its line of the config and with the way to mend it.
    """
    stated = loaded.config.max_batch_size
    max_batch_size = proven_rows if stated is None else stated
    merger = _Merger(loaded, graph, labels, batches=max_batch_size > 0)
    inputs = tuple(merger.inputs())
    outputs = tuple(merger.outputs())
    config = loaded.config
    if config.dynamic_axes:
        inputs = with_axes(inputs, (*graph.inputs, *graph.optional), config)
        outputs = with_axes(outputs, graph.outputs, config)
        merger.problems += axis_problems(config, graph, inputs)
    merger.problems += ragged_problems(config, graph, inputs, outputs)
    if merger.problems:
        raise loaded.failure(merger.problems)
    return ModelSpec(
        name=name,
        version=version,
        inputs=inputs,
        outputs=outputs,
        max_batch_size=max_batch_size,
        axes=axes_of(config),
        batch_inputs=batch_inputs_of(config, graph),
    )


class _Merger:
    """Collects problems on the way, so that all are reported at once."""

    def __init__(
        self,
        loaded: LoadedConfig,
        graph: GraphSpec,
        labels: Mapping[str, Sequence[str]],
        *,
        batches: bool,
    ) -> None:
        self.problems: list[tuple[Loc, str] | Problem] = []
        self._config = loaded.config
        self._source = loaded.document.source
        self._strict_labels = loaded.stated is None
        self._graph = graph
        self._labels = labels
        self._batches = batches

    def inputs(self) -> list[TensorSpec]:
        specs = list(self._inputs())
        order = {tensor.name: index for index, tensor in enumerate(self._config.inputs)}
        if all(spec.name in order for spec in specs):
            specs.sort(key=lambda spec: order[spec.name])
        return specs

    def _inputs(self) -> Iterator[TensorSpec]:
        made = {made.name for made in self._config.batch_inputs}
        masks = {axis.mask_input for axis in self._config.dynamic_axes.values()}
        required = {tensor.name: tensor for tensor in self._graph.inputs if tensor.name not in made}
        optional = {tensor.name: tensor for tensor in self._graph.optional}
        listed = {tensor.name: (index, tensor) for index, tensor in enumerate(self._config.inputs)}
        for name, tensor in required.items():
            index, entry = listed.get(name, (None, InputConfig(name)))
            if entry.optional and name not in masks:
                text = (
                    f"the graph has no default for the input '{shown(name)}', so clients must always send it"
                )
                loc: Loc = ("inputs", index or 0, "optional")
                said = f"'{shown(name)}' is a required input"
                self.problems.append(Problem(loc, text, Code.NO_DEFAULT, (Remove(loc),), said))
            yield self._spec("inputs", index, entry, tensor, optional=name in masks)
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
            yield replace(spec, labels=lines)

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
            text = f"{self._source} says {entry.datatype.value}, the graph says {tensor.datatype.value}"
            text = f"{text} for {what}; state the graph's, or leave it out"
            at = (*loc, "datatype")
            mend = (Replace(at, tensor.datatype.value),)
            self.problems.append(Problem(at, text, Code.DATATYPE, mend, _declared(what, tensor)))
        if isinstance(entry, InputConfig) and entry.ragged:
            return TensorSpec(tensor.name, tensor.datatype, entry.shape or (), optional=optional, ragged=True)
        if isinstance(entry, OutputConfig) and entry.scatter is not None:
            return TensorSpec(tensor.name, tensor.datatype, entry.shape or (), scatter=entry.scatter)
        shape, reshape = entry.shape, entry.reshape
        if reshape is None and shape and set(shape) == {1} and self._is_scalar(tensor):
            reshape = ()  # configs that cannot state a shape without dimensions write [1]
        if reshape is None:
            shape = self._shape((*loc, "shape"), what, shape, tensor)
        else:
            reshape = self._shape((*loc, "reshape"), what, reshape, tensor)
        return TensorSpec(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=shape or (),
            optional=optional,
            reshape=reshape,
        )

    def _is_scalar(self, tensor: GraphTensor) -> bool:
        return tensor.rank_known and len(tensor.shape) == int(self._batches)

    def _shape(
        self, loc: Loc, what: str, stated: tuple[int, ...] | None, tensor: GraphTensor
    ) -> tuple[int, ...]:
        """As the graph has it, without the batch dimension when the model batches."""
        if not tensor.rank_known and not tensor.shape:
            if stated is None:
                text = (
                    f"the graph does not say how many dimensions {what} has; state its shape under {loc[0]}"
                )
                said = f"{what}: {tensor.datatype.value}, dimensions unknown"
                self.problems.append(Problem(loc[:-1], text, Code.RANK_UNKNOWN, (), said))
            return stated or ()
        shape = tensor.shape
        if self._batches:
            if not shape or shape[0] != -1:
                at = ("max_batch_size",)
                text, said = _cannot_batch(what, shape), _declared(what, tensor)
                self.problems.append(Problem(at, text, Code.CANNOT_BATCH, (Remove(at),), said))
                return shape
            shape = shape[1:]
        if stated is None:
            return shape
        if len(stated) != len(shape) or not all(map(_narrows, stated, shape)):
            text, said = self._shape_text(what, stated, shape, tensor.shape), _declared(what, tensor)
            self.problems.append(Problem(loc, text, Code.SHAPE, _mended_shape(loc, stated, shape), said))
        return stated

    def _shape_text(
        self, what: str, stated: tuple[int, ...], shape: tuple[int, ...], whole: tuple[int, ...]
    ) -> str:
        text = f"{self._source} says {list(stated)}, the graph says {list(shape)} for {what}"
        if self._batches:
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
        at = (key, index, "name")
        listed = self._config.inputs if key == "inputs" else self._config.outputs
        free = [each for each in known if each not in {entry.name for entry in listed}]
        near = meant(name, free) or (known[0] if len(known) == len(listed) == 1 else None)
        said = f"{key}: {_listed(known)}"
        self.problems.append(
            Problem(at, text, Code.NO_SUCH_TENSOR, (Replace(at, near),) if near else (), said)
        )

    def _check_labels(self, index: int, file: str, lines: tuple[str, ...], spec: TensorSpec) -> None:
        loc = ("outputs", index, "labels")
        what = f"output '{shown(spec.name)}'"
        if spec.datatype in (Datatype.BYTES, Datatype.BOOL):
            text = f"{what} is {spec.datatype.value}: only numbers can be ranked and labelled"
            self.problems.append(Problem(loc, text, Code.NO_LABELS))
        elif not spec.shape:
            text = f"{what} has no dimension of classes to be labelled"
            self.problems.append(Problem(loc, text, Code.NO_LABELS))
        elif self._strict_labels and (text := miscounted_labels(spec, len(lines))):
            text = f"{file} has {text}; write one label a line"
            self.problems.append(Problem(loc, text, Code.LABELS_COUNT))


def miscounted_labels(output: TensorSpec, lines: int) -> str:
    """How a file of labels and the classes of an output differ in number; empty if they do not."""
    classes = output.shape[-1]
    if classes in (-1, lines) or math.prod(output.shape) == lines:
        return ""
    return f"{_count(lines, 'line')}, but output '{shown(output.name)}' has {classes} classes"


def _declared(what: str, tensor: GraphTensor) -> str:
    """What the graph says of it, batch dimension included."""
    return f"{what}: {tensor.datatype.value} {list(tensor.shape)}"


def _mended_shape(loc: Loc, stated: tuple[int, ...], shape: tuple[int, ...]) -> Mend:
    """The graph's, with what the config may narrow and does. A reshape belongs to a shape of its own."""
    if loc[-1] == "reshape":
        return ()
    if len(stated) == len(shape):
        pairs = enumerate(zip(stated, shape, strict=True))
        return tuple(Replace((*loc, at), size) for at, (want, size) in pairs if not _narrows(want, size))
    if len(stated) == len(shape) + 1 and all(map(_narrows, stated[1:], shape)):
        return (Remove((*loc, 0)),)
    return (Replace(loc, list(shape)),)


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
