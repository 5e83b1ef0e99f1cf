"""All that is wrong with the text of a config.yaml: by itself, and against graphs, labels and the runtime.

A load stops at the first of these that fails; here as much is told as can be known, for whoever mends it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from onnxd.errors import LoadFailed
from onnxd.repository.config import ModelConfig, provider_name
from onnxd.repository.config_file import LoadedConfig, contradicting, document_type
from onnxd.repository.config_values import ProviderEntry
from onnxd.repository.document import Document, Fault, FaultyConfig, FaultyDocument, Loc
from onnxd.repository.fault_codes import Code
from onnxd.repository.mends import Mend, Rename, Replace, meant
from onnxd.repository.model_spec import merge
from onnxd.repository.typed_document import suggestion
from onnxd.repository.yaml_document import parse_document
from onnxd.runtime.graph import GraphSpec
from onnxd.runtime.providers import options_of, resolve

_SUFFIX: Final = "ExecutionProvider"
_DECIDING: Final = frozenset({"max_batch_size", "inputs", "outputs", "dynamic_axes"})
"""Without these nothing can be said of the graph: another shape may be meant."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a config is checked against."""

    graphs: Mapping[int, GraphSpec] = field(default_factory=dict)
    """By version."""
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The text files beside the config and their lines: any of them may be somebody's labels."""
    available: Sequence[str] = ()
    """Execution providers that there are here."""
    known_providers: Sequence[str] = ()
    """Those that ONNX Runtime has a name for, here or elsewhere."""


def config_faults(data: bytes, source: str, around: Surroundings) -> list[Fault]:
    """Every fault, sorted by position; the same one in several versions once."""
    try:
        document = parse_document(data, source)
    except FaultyDocument as error:
        return list(error.faults)
    decoded = document_type().decode(document)
    faults = [*decoded.faults, *contradicting(decoded, document)]
    config = decoded.value
    if config is not None:
        faults += _of_providers(config, document, around)
        faults += _of_labels(config, document, around)
        if not _undecided(decoded.dropped, faults):
            for version, graph in around.graphs.items():
                faults += _of_graph(config, document, version, graph, around)
    unique = {(fault.code, fault.position, fault.loc, fault.text): fault for fault in faults}
    return sorted(unique.values(), key=lambda fault: fault.position)


def readable_config(data: bytes) -> ModelConfig:
    """What can be made of a config's text, without its faulty keys; the default where nothing can."""
    try:
        decoded = document_type().decode(parse_document(data, ""))
    except FaultyDocument:
        return ModelConfig()
    return decoded.value or ModelConfig()


def _undecided(dropped: Iterable[Loc], faults: Sequence[Fault]) -> bool:
    """Whether a key that decides is faulty, or one that may be a misspelling of it."""
    unknown = [fault.loc for fault in faults if fault.code is Code.UNKNOWN_KEY and len(fault.loc) == 1]
    return any(not loc or loc[0] in _DECIDING for loc in dropped) or any(
        suggestion(str(key), _DECIDING) for (key,) in unknown
    )


def _of_graph(
    config: ModelConfig, document: Document, version: int, graph: GraphSpec, around: Surroundings
) -> Sequence[Fault]:
    labels = {output: around.files.get(file, ()) for output, file in config.label_files.items()}
    try:
        merge("", version, LoadedConfig(config, document), graph, labels)
    except FaultyConfig as error:
        missing = {name for name, file in config.label_files.items() if file not in around.files}
        return [
            fault
            for fault in error.faults
            if fault.code is not Code.LABELS_COUNT or not _of_output(config, fault) & missing
        ]
    return ()


def _of_output(config: ModelConfig, fault: Fault) -> set[str]:
    index = fault.loc[1]
    return {config.outputs[index].name} if isinstance(index, int) else set()


def _of_labels(config: ModelConfig, document: Document, around: Surroundings) -> Iterator[Fault]:
    for index, output in enumerate(config.outputs):
        if output.labels is not None and output.labels not in around.files:
            loc = ("outputs", index, "labels")
            near = meant(output.labels, around.files)
            text = f"labels file '{output.labels}' is not in the model's directory"
            mend: Mend = (Replace(loc, near),) if near else ()
            yield document.fault(loc, text, Code.LABELS_FILE, mend)


def _of_providers(config: ModelConfig, document: Document, around: Surroundings) -> Iterator[Fault]:
    left = any(provider_name(entry) in around.available for entry in config.providers)
    passed_over = config.provider_fallback == "next" and left
    for index, entry in enumerate(config.providers):
        name = provider_name(entry)
        loc = ("providers", index)
        if name not in around.available:
            if passed_over and name in around.known_providers:
                continue
            yield document.fault(
                loc, _refusal(name, around), Code.PROVIDER, _provider_mend(entry, index, around)
            )
            continue
        for option in entry[name] if isinstance(entry, dict) else ():
            if text := _refusal({name: {option: ""}}, around):
                near = meant(option, options_of(name) or ())
                at = (*loc, name, option)
                mend: Mend = (Rename(at, near),) if near else ()
                yield document.fault(at, text, Code.PROVIDER_OPTION, mend, key=True)


def _provider_mend(entry: ProviderEntry, index: int, around: Surroundings) -> Mend:
    """The name that a misspelt one stands for. A known one that is not to be had here is no misspelling."""
    name = provider_name(entry)
    if name in around.known_providers:
        return ()
    short = {each.removesuffix(_SUFFIX).lower(): each for each in around.known_providers}
    near = short.get(name.lower()) or meant(name, around.known_providers)
    if near is None or near not in around.available:
        return ()
    loc = ("providers", index)
    return (Replace(loc, near),) if isinstance(entry, str) else (Rename((*loc, name), near),)


def _refusal(entry: ProviderEntry, around: Surroundings) -> str:
    """What the runtime would say to an entry of `providers`; empty if it would take it."""
    try:
        resolve([entry], None, around.available)
    except LoadFailed as error:
        return error.message
    return ""
