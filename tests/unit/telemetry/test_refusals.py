"""Errors are counted by their class, and no client can add a class."""

import pytest

from onnxd.errors import QueueFull, ServerError, TensorMismatch
from onnxd.repository.store import Unsettled
from onnxd.telemetry.refusals import INTERNAL, REASONS, Refusals


def counted(refusals: Refusals) -> dict[str, int]:
    return {reason: count for reason, count in refusals.snapshot().items() if count}


def test_every_class_of_error_is_there_from_the_start() -> None:
    assert Refusals().snapshot() == dict.fromkeys(REASONS, 0)
    assert {"QueueFull", "MalformedPayload", "ModelNotFound", INTERNAL} <= set(REASONS)


def test_an_error_counts_under_its_own_class_only() -> None:
    refusals = Refusals()
    refusals.count(QueueFull)
    refusals.count(TensorMismatch)
    refusals.count(TensorMismatch)
    assert counted(refusals) == {"QueueFull": 1, "TensorMismatch": 2}


@pytest.mark.parametrize("kind", [ServerError, ZeroDivisionError, MemoryError])
def test_whatever_is_hidden_from_the_client_is_internal(kind: type[BaseException]) -> None:
    refusals = Refusals()
    refusals.count(kind)
    assert counted(refusals) == {INTERNAL: 1}


def test_a_class_of_another_module_counts_as_what_it_is_a_kind_of() -> None:
    refusals = Refusals()
    refusals.count(Unsettled)
    assert counted(refusals) == {"LoadFailed": 1}


def test_a_snapshot_does_not_change_afterwards() -> None:
    refusals = Refusals()
    before = refusals.snapshot()
    refusals.count(QueueFull)
    assert before["QueueFull"] == 0
