"""Which changes of a model's settings a version can take while it serves, without being loaded anew. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from onnxd.repository.config import BatchingSection, ModelConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.tensors import ModelSpec

RUN_TIME_BATCHING: Final = frozenset(field.name for field in fields(BatchPolicy)) & frozenset(
    field.name for field in fields(BatchingSection)
)
"""The keys of `batching` that Batcher.reconfigure takes."""
_NOT_OF_A_VERSION: Final = ("description", "parameters", "versions")
"""What is only shown, and which versions serve: no version runs differently for it."""


def can_go_on(
    config: ModelConfig, spec: ModelSpec, wanted: ModelConfig, labels: Mapping[str, Sequence[str]]
) -> bool:
    """Whether a version that was loaded with `config` can go on with the `wanted` one and these labels."""
    if any(tuple(labels.get(output.name, ())) != output.labels for output in spec.outputs):
        return False
    return _fixed(config) == _fixed(wanted)


def _fixed(config: ModelConfig) -> ModelConfig:
    """Without all that may change."""
    usual = ModelConfig()
    batching: dict[str, Any] = {name: getattr(usual.batching, name) for name in RUN_TIME_BATCHING}
    rest: dict[str, Any] = {name: getattr(usual, name) for name in _NOT_OF_A_VERSION}
    return replace(config, batching=replace(config.batching, **batching), **rest)
