"""What is remembered of a model, and what follows from it."""

import json
from pathlib import Path

import pytest

from onnxd.repository.history import (
    Generation,
    History,
    read_histories,
    remove_history,
    version_content,
    write_history,
)


def generation(number: int, *versions: int) -> Generation:
    """Content that differs with the number."""
    digest = f"{number:064x}"
    return Generation(digest, dict.fromkeys(versions or (1,), digest))


FIRST, SECOND, THIRD = generation(1), generation(2), generation(3)


def test_what_is_loaded_after_another_leaves_that_to_go_back_to() -> None:
    history = History(FIRST).loaded(SECOND)
    assert history == History(SECOND, previous=FIRST)
    assert history.loaded(THIRD) == History(THIRD, previous=SECOND)


def test_the_same_again_changes_nothing() -> None:
    history = History(SECOND, previous=FIRST)
    assert history.loaded(SECOND) == history


def test_a_rollback_leads_to_what_served_before_what_serves() -> None:
    history = History(SECOND, previous=FIRST)
    assert history.target(SECOND.identities) == FIRST
    assert history.target({}) == SECOND
    assert history.target({1: "of a load with files"}) == SECOND
    assert History(FIRST).target(FIRST.identities) is None


def test_what_the_files_hold_is_rejected_by_a_rollback_and_by_the_next_one_taken_back() -> None:
    history = History(SECOND, previous=FIRST)
    back = history.rolled_back(FIRST, on_disk=SECOND)
    assert back == History(FIRST, previous=SECOND, rejected=SECOND)
    assert back.rolled_back(SECOND, on_disk=SECOND) == history


def test_files_that_failed_are_rejected_though_they_never_served() -> None:
    back = History(SECOND, previous=FIRST).rolled_back(FIRST, on_disk=THIRD)
    assert back == History(FIRST, previous=SECOND, rejected=THIRD)


def test_where_nobody_knows_what_the_files_hold_it_is_taken_for_what_served() -> None:
    assert History(SECOND, previous=FIRST).rolled_back(FIRST, None).rejected == SECOND
    assert History(SECOND, previous=FIRST).rolled_back(SECOND, None).rejected is None


def test_a_load_ends_the_rejection() -> None:
    rejected = History(FIRST, previous=SECOND, rejected=SECOND)
    assert rejected.loaded(SECOND) == History(SECOND, previous=FIRST)
    assert rejected.loaded(FIRST) == History(FIRST, previous=SECOND)


def test_the_copies_of_two_sets_are_needed_and_no_others() -> None:
    history = History(FIRST, previous=SECOND, rejected=THIRD)
    assert history.digests == FIRST.digests | SECOND.digests


def test_an_identity_is_of_settings_and_version() -> None:
    generation = Generation("a" * 64, {3: "b" * 64})
    assert generation.identities == {3: f"{'a' * 64}:{'b' * 64}"}
    assert version_content(generation.identities[3]) == "b" * 64


def test_what_is_written_is_read(tmp_path: Path) -> None:
    histories = {
        "digits": History(generation(1, 1, 7), previous=SECOND, rejected=THIRD),
        "digits.v2": History(FIRST),
    }
    for name, history in histories.items():
        write_history(tmp_path / "history", name, history)
    assert read_histories(tmp_path / "history") == histories
    remove_history(tmp_path / "history", "digits")
    remove_history(tmp_path / "history", "digits")
    assert list(read_histories(tmp_path / "history")) == ["digits.v2"]


def test_without_a_directory_there_is_no_history(tmp_path: Path) -> None:
    assert read_histories(tmp_path / "history") == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        json.dumps({"current": None, "previous": None, "rejected": None}),
        json.dumps({"current": {"settings": "../..", "versions": {"1": "b" * 64}}, "previous": None}),
        json.dumps({"current": {"settings": "a" * 64, "versions": {"1": "../../x"}}, "previous": None}),
        json.dumps({"current": {"settings": "a" * 64, "versions": {}}, "previous": None}),
        json.dumps({"current": {"settings": "a" * 64, "versions": {"x": "b" * 64}}, "previous": None}),
        json.dumps({"current": {"settings": "a" * 64, "versions": 3}}),
    ],
)
def test_a_note_that_cannot_be_read_is_no_note(tmp_path: Path, text: str) -> None:
    (tmp_path / "digits.json").write_text(text)
    (tmp_path / "..json").write_text(text)
    (tmp_path / "notes.txt").write_text(text)
    assert read_histories(tmp_path) == {}
