"""What the keys of one config.yaml demand of each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxd.protocol.reshape import reshape_problem
from onnxd.repository.config import BatchingSection, InputConfig, ModelConfig, OutputConfig, provider_name
from onnxd.repository.document import Loc
from onnxd.repository.fault_codes import Code
from onnxd.repository.mends import Mend, Remove, Replace, meant
from onnxd.repository.shape_rules import shape_contradictions
from onnxd.scheduler.queue_policy import QueuePolicy


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two places of a config that cannot both hold."""

    loc: Loc
    text: str
    other: Loc
    """The place that it contradicts: unknown when that one is faulty itself."""
    code: Code = Code.CONTRADICTION
    mend: Mend = ()


def contradictions(config: ModelConfig) -> Iterator[Contradiction]:
    """All that is wrong with a config whose keys are well-formed one by one."""
    yield from _batching(config)
    yield from _priorities(config.batching)
    yield from _timeouts(config.batching)
    yield from _warmup(config)
    yield from _reshapes("inputs", config.inputs)
    yield from _reshapes("outputs", config.outputs)
    yield from _names("inputs", [tensor.name for tensor in config.inputs])
    yield from _names("outputs", [tensor.name for tensor in config.outputs])
    yield from _providers(config)
    yield from (Contradiction(*found) for found in shape_contradictions(config))
    yield from _split_large(config)
    yield from _in_front(config.batching)


def _batching(config: ModelConfig) -> Iterator[Contradiction]:
    rows = ("max_batch_size",)
    if config.batching.max_queue_delay > 0 and not config.batches:
        text = f"needs a max_batch_size of at least 1: {_why_stated(config)}"
        yield Contradiction(("batching", "max_queue_delay"), text, rows, Code.NEEDS_BATCHES)
    elif config.batching.max_queue_delay > 0 and not config.batching.dynamic:
        text = "needs batching.dynamic: when each request runs alone there is nothing to wait for"
        yield Contradiction(("batching", "max_queue_delay"), text, ("batching", "dynamic"))
    sizes, most = config.batching.preferred_sizes, config.max_batch_size or 0
    if sizes and not most:
        text = "needs a max_batch_size of at least 1: without batches there are no sizes to prefer"
        yield Contradiction(("batching", "preferred_sizes"), text, rows)
        return
    for index, size in enumerate(sizes):
        if size > most:
            text = f"{size} rows are more than max_batch_size, which is {most}"
            yield Contradiction(("batching", "preferred_sizes", index), text, rows)
    if sizes and not config.batching.max_queue_delay:
        text = "needs max_queue_delay: without it a batch is never held back, whatever its size"
        yield Contradiction(("batching", "preferred_sizes"), text, ("batching", "max_queue_delay"))


def _why_stated(config: ModelConfig) -> str:
    if config.max_batch_size is None:
        return (
            "unless it is stated, the load decides whether this model batches, and may find that it does not"
        )
    return "a model that does not batch has no rows to wait for, or to be split by"


def _priorities(batching: BatchingSection) -> Iterator[Contradiction]:
    levels, key = batching.priority_levels, ("batching", "priority_levels")
    known = f"expected a level from 1 to priority_levels, which is {levels}"
    if batching.default_priority is not None and batching.default_priority > levels:
        text = f"{known}, got {batching.default_priority}"
        yield Contradiction(("batching", "default_priority"), text, key)
    for level in batching.priorities:
        if int(level) > levels:
            text = f"{known}, got {level}"
            yield Contradiction(("batching", "priorities", level), text, key)
    if batching.preserve_ordering and levels > 1:
        text = (
            "cannot be kept with priority_levels, by which later requests go first; leave one of the two out"
        )
        yield Contradiction(("batching", "preserve_ordering"), text, key)


def _timeouts(batching: BatchingSection) -> Iterator[Contradiction]:
    usual = batching.usual()
    policies: list[tuple[Loc, QueuePolicy]] = [(("batching",), usual)]
    for level, own in batching.priorities.items():
        if own.policy(usual) != usual:
            policies.append((("batching", "priorities", level), own.policy(usual)))
    for loc, policy in policies:
        if policy.timeout_action != "delay":
            continue
        at = (*loc, "timeout_action")
        if not policy.default_timeout and not policy.allow_timeout_override:
            text = "delay needs a default_timeout, or allow_timeout_override: without one nothing times out"
            yield Contradiction(at, text, (*loc, "default_timeout"))
        if policy.default_timeout and batching.preserve_ordering:
            text = (
                "delay cannot be had with preserve_ordering: a request that is delayed would hold up the "
                "answers of all behind it; use reject, or leave one of the two out"
            )
            yield Contradiction(at, text, ("batching", "preserve_ordering"))


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
        yield Contradiction(("warmup", "batch_sizes"), text, rows, Code.NEEDS_BATCHES)
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
            yield Contradiction(loc, text, (key,), Code.RESHAPE)
        elif problem := reshape_problem(tensor.shape, tensor.reshape):
            yield Contradiction(loc, problem, (key,), Code.RESHAPE)


def _names(key: str, names: list[str]) -> Iterator[Contradiction]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        before = first.setdefault(name, index)
        if before != index:
            text = f"{name} is listed twice, first as {key}[{before}]"
            yield Contradiction((key, index, "name"), text, (key,), Code.LISTED_TWICE)


def _providers(config: ModelConfig) -> Iterator[Contradiction]:
    names = [provider_name(entry) for entry in config.providers]
    for index, name in enumerate(names):
        if name in names[:index]:
            again = config.providers[index] == config.providers[names.index(name)]
            mend: Mend = (Remove(("providers", index)),) if again else ()
            text = f"{name} is listed twice"
            yield Contradiction(("providers", index), text, ("providers",), Code.LISTED_TWICE, mend)
    required = config.require_provider
    if required is not None and required not in names:
        text = f"{required} is not among providers ({', '.join(names)}); list it there too"
        near = meant(required, names)
        yield Contradiction(
            ("require_provider",),
            text,
            ("providers",),
            Code.NOT_AMONG_PROVIDERS,
            (Replace(("require_provider",), near),) if near else (),
        )


def _in_front(batching: BatchingSection) -> Iterator[Contradiction]:
    ordered = ("batching", "preserve_ordering")
    if batching.preserve_ordering and batching.split_large:
        text = (
            "cannot be had with preserve_ordering: other requests go between its parts; "
            "leave one of the two out"
        )
        yield Contradiction(("batching", "split_large"), text, ordered)
    if batching.preserve_ordering and batching.single_flight:
        text = (
            "cannot be had with preserve_ordering: who joins a run is answered with those that came before; "
            "leave one of the two out"
        )
        yield Contradiction(("batching", "single_flight"), text, ordered)


def _split_large(config: ModelConfig) -> Iterator[Contradiction]:
    at = ("batching", "split_large")
    if config.batching.split_large and not config.batches:
        text = f"needs a max_batch_size of at least 1: {_why_stated(config)}"
        yield Contradiction(at, text, ("max_batch_size",), Code.NEEDS_BATCHES)
    elif config.batching.split_large and not config.batching.dynamic:
        text = "needs batching.dynamic: where rows influence each other, parts have other answers"
        yield Contradiction(at, text, ("batching", "dynamic"))
    ragged = next((index for index, tensor in enumerate(config.inputs) if tensor.ragged), None)
    if config.batching.split_large and (ragged is not None or config.batch_inputs):
        text = "cannot be had with ragged inputs, which have no rows to be split by; leave one of the two out"
        yield Contradiction(at, text, ("batch_inputs",) if ragged is None else ("inputs", ragged, "ragged"))
