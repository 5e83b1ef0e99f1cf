"""What the keys of one config.yaml demand of each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxd.protocol.reshape import reshape_problem
from onnxd.repository.config import InputConfig, ModelConfig, OutputConfig, provider_name
from onnxd.repository.document import Loc
from onnxd.repository.shape_rules import shape_contradictions


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two places of a config that cannot both hold."""

    loc: Loc
    text: str
    other: Loc
    """The place that it contradicts: unknown when that one is faulty itself."""


def contradictions(config: ModelConfig) -> Iterator[Contradiction]:
    """All that is wrong with a config whose keys are well-formed one by one."""
    yield from _batching(config)
    yield from _warmup(config)
    yield from _reshapes("inputs", config.inputs)
    yield from _reshapes("outputs", config.outputs)
    yield from _names("inputs", [tensor.name for tensor in config.inputs])
    yield from _names("outputs", [tensor.name for tensor in config.outputs])
    yield from _providers(config)
    yield from (Contradiction(*found) for found in shape_contradictions(config))
    yield from _split_large(config)


def _batching(config: ModelConfig) -> Iterator[Contradiction]:
    rows = ("max_batch_size",)
    if config.batching.max_queue_delay > 0 and not config.batches:
        text = "needs a max_batch_size of at least 1: without batches there is nothing to wait for"
        yield Contradiction(("batching", "max_queue_delay"), text, rows)
    elif config.batching.max_queue_delay > 0 and not config.batching.dynamic:
        text = "needs batching.dynamic: when each request runs alone there is nothing to wait for"
        yield Contradiction(("batching", "max_queue_delay"), text, ("batching", "dynamic"))


def _warmup(config: ModelConfig) -> Iterator[Contradiction]:
    rows = ("max_batch_size",)
    for index, sample in enumerate(config.warmup.samples):
        if sample.batch_size > (config.max_batch_size or 1):
            most = config.max_batch_size or 0
            text = f"{sample.batch_size} rows are more than max_batch_size, which is {most}"
            yield Contradiction(("warmup", "samples", index, "batch_size"), text, rows)
    sizes = config.warmup.batch_sizes or ()
    if sizes and not config.batches:
        text = "needs a max_batch_size of at least 1: this model does not batch"
        yield Contradiction(("warmup", "batch_sizes"), text, rows)
        return
    for index, size in enumerate(sizes):
        if size > (config.max_batch_size or 0):
            text = f"{size} rows are more than max_batch_size, which is {config.max_batch_size}"
            yield Contradiction(("warmup", "batch_sizes", index), text, rows)


def _reshapes(key: str, tensors: Sequence[InputConfig | OutputConfig]) -> Iterator[Contradiction]:
    for index, tensor in enumerate(tensors):
        if tensor.reshape is None:
            continue
        loc = (key, index, "reshape")
        if tensor.shape is None:
            text = "needs shape: state the shape that clients see, which this one is made of"
            yield Contradiction(loc, text, (key,))
        elif problem := reshape_problem(tensor.shape, tensor.reshape):
            yield Contradiction(loc, problem, (key,))


def _names(key: str, names: list[str]) -> Iterator[Contradiction]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        before = first.setdefault(name, index)
        if before != index:
            text = f"{name} is listed twice, first as {key}[{before}]"
            yield Contradiction((key, index, "name"), text, (key,))


def _providers(config: ModelConfig) -> Iterator[Contradiction]:
    names = [provider_name(entry) for entry in config.providers]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Contradiction(("providers", index), f"{name} is listed twice", ("providers",))
    required = config.require_provider
    if required is not None and required not in names:
        text = f"{required} is not among providers ({', '.join(names)}); list it there too"
        yield Contradiction(("require_provider",), text, ("providers",))


def _split_large(config: ModelConfig) -> Iterator[Contradiction]:
    at = ("batching", "split_large")
    if config.batching.split_large and not config.batches:
        text = "needs a max_batch_size of at least 1: without it a request has no rows to be split by"
        yield Contradiction(at, text, ("max_batch_size",))
    elif config.batching.split_large and not config.batching.dynamic:
        text = "needs batching.dynamic: where rows influence each other, parts have other answers"
        yield Contradiction(at, text, ("batching", "dynamic"))
