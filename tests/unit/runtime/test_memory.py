"""Resident memory and giving it back."""

from onnxd.runtime.memory import give_back, resident_bytes


def test_resident_memory_is_some_megabytes() -> None:
    assert resident_bytes() > 2**20


def test_giving_back_twice_does_no_harm() -> None:
    give_back()
    give_back()
