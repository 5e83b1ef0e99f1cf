"""Which settings a serving version can take."""

from dataclasses import fields, replace
from typing import Any

import pytest

from onnxd.repository.config import BatchingSection, ModelConfig, OutputConfig
from onnxd.repository.reconfiguration import RUN_TIME_BATCHING, can_go_on
from onnxd.repository.version_policy import ALL_VERSIONS
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

SPEC = ModelSpec("m", 1, (), (TensorSpec("y", Datatype.FP32, (2,), labels=("cat", "dog")),), 8)
LABELS = {"y": ("cat", "dog")}
CONFIG = ModelConfig(max_batch_size=8, outputs=(OutputConfig("y", labels="labels.txt"),))


def goes_on(**changes: Any) -> bool:
    return can_go_on(CONFIG, SPEC, replace(CONFIG, **changes), LABELS)


@pytest.mark.parametrize(
    "batching",
    [
        BatchingSection(max_queue_delay=0.5),
        BatchingSection(max_queue_size=1),
        BatchingSection(max_queue_bytes=-1),
        BatchingSection(default_timeout=2.0, allow_timeout_override=False),
    ],
)
def test_how_requests_wait_may_change(batching: BatchingSection) -> None:
    assert goes_on(batching=batching)


def test_what_is_only_shown_and_which_versions_serve_may_change() -> None:
    assert goes_on(description="better", parameters={"owner": "ada"}, versions=ALL_VERSIONS)


@pytest.mark.parametrize(
    "changes",
    [
        {"batching": BatchingSection(dynamic=False)},
        {"max_batch_size": 4},
        {"instances": 2},
        {"file": "other.onnx"},
        {"outputs": ()},
        {"instances": 2, "batching": BatchingSection(max_queue_size=1)},
    ],
)
def test_whatever_else_changes_needs_a_load(changes: dict[str, Any]) -> None:
    assert not goes_on(**changes)


@pytest.mark.parametrize("labels", [{}, {"y": ("cat",)}, {"y": ("dog", "cat")}])
def test_other_labels_need_a_load(labels: dict[str, tuple[str, ...]]) -> None:
    assert not can_go_on(CONFIG, SPEC, CONFIG, labels)


def test_every_key_of_batching_either_goes_into_the_policy_or_needs_a_load() -> None:
    """A new key that the policy has under another name would be forgotten here."""
    policy = BatchingSection().policy()
    assert {field.name for field in fields(policy)} <= {field.name for field in fields(BatchingSection)}
    assert {field.name for field in fields(policy)} == RUN_TIME_BATCHING
