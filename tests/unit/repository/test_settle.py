"""When what a scan saw may be acted on. Times are seconds of a clock that the test holds."""

from pathlib import Path

import pytest

from onnxd.repository.settle import SettledRepository, Settling
from tests.support.snapshots import ROOT, model_files, snapshot

SETTLE_S = 0.5
INTERVAL_S = 5.0
WALL_NS = 1_000_000_000_000
OLD_NS = WALL_NS - 60_000_000_000
GONE = "its directory is gone; waiting for a further scan to confirm it"
EMPTY = "the repository is empty all at once; unload models by name if that is meant"


class Repository:
    """Feeds snapshots to the rule under test."""

    def __init__(self) -> None:
        self._settling = Settling(SETTLE_S, INTERVAL_S)

    def has(
        self,
        now_s: float,
        *models: str,
        identity: tuple[int, int] = (1, 1),
        fault: str = "",
        newest_ns: int = OLD_NS,
    ) -> SettledRepository:
        """A scan at `now_s`; a model is written as name or name:key."""
        seen = [
            model_files(name, key or "first", newest_ns=newest_ns)
            for name, _, key in (model.partition(":") for model in models)
        ]
        return self._settling.feed(
            now_s,
            snapshot(seen, identities={ROOT: identity}, faults={ROOT: fault} if fault else None),
            wall_ns=WALL_NS,
        )


@pytest.fixture
def repository() -> Repository:
    return Repository()


def test_at_start_old_files_are_settled_at_once(repository: Repository) -> None:
    seen = repository.has(0.0, "digits", newest_ns=WALL_NS - 500_000_000)

    assert list(seen.models) == ["digits"]
    assert seen.look_again_s is None


@pytest.mark.parametrize("newest_ns", [WALL_NS - 499_999_999, WALL_NS + 1], ids=["just now", "in the future"])
def test_at_start_files_that_were_just_written_must_settle(repository: Repository, newest_ns: int) -> None:
    first = repository.has(0.0, "digits", newest_ns=newest_ns)
    second = repository.has(0.5, "digits", newest_ns=newest_ns)

    assert (dict(first.models), dict(first.undecided)) == ({}, {"digits": "its files are still changing"})
    assert first.look_again_s == 0.5
    assert list(second.models) == ["digits"]


def test_a_model_that_comes_later_must_settle_however_old_its_files_are(repository: Repository) -> None:
    repository.has(0.0)

    first = repository.has(7.0, "digits")
    early = repository.has(7.4, "digits")
    late = repository.has(7.5, "digits")

    assert "digits" in first.undecided
    assert "digits" in early.undecided
    assert early.look_again_s == 7.5
    assert list(late.models) == ["digits"]


def test_a_file_that_keeps_changing_never_settles(repository: Repository) -> None:
    repository.has(0.0, "digits")

    for step in range(1, 100):
        seen = repository.has(step * 0.4, f"digits:{step}")
        assert "digits" in seen.undecided
        assert "digits" not in seen.models
    settled = repository.has(99 * 0.4 + 0.5, "digits:99")

    assert settled.models["digits"].key == "99"


def test_a_change_that_is_taken_back_before_it_settles_leaves_things_as_they_were(
    repository: Repository,
) -> None:
    before = repository.has(0.0, "digits:a")
    repository.has(1.0, "digits:b")
    after = repository.has(1.1, "digits:a")

    assert after.same_as(before)


def test_one_changing_model_does_not_hold_up_another(repository: Repository) -> None:
    repository.has(0.0, "digits:a", "language:a")

    seen = repository.has(1.0, "digits:b", "language:a")

    assert list(seen.models) == ["language"]
    assert list(seen.undecided) == ["digits"]


def test_a_model_that_vanishes_before_it_settled_leaves_no_trace(repository: Repository) -> None:
    repository.has(0.0)
    repository.has(1.0, "digits")

    seen = repository.has(2.0)

    assert (dict(seen.models), dict(seen.undecided), seen.look_again_s) == ({}, {}, None)


def test_a_removal_counts_on_the_second_scan(repository: Repository) -> None:
    repository.has(0.0, "digits", "language", "vision")

    first = repository.has(1.0, "digits", "language")
    early = repository.has(1.2, "digits", "language")
    second = repository.has(1.5, "digits", "language")

    assert dict(first.undecided) == {"vision": GONE}
    assert first.look_again_s == 1.5
    assert "vision" in early.undecided
    assert (list(second.models), dict(second.undecided)) == (["digits", "language"], {})


def test_a_model_that_comes_back_before_the_second_scan_was_never_gone(repository: Repository) -> None:
    before = repository.has(0.0, "digits", "language", "vision")
    repository.has(1.0, "digits", "language")
    back = repository.has(1.2, "digits", "language", "vision")
    again = repository.has(1.6, "digits", "language")

    assert back.same_as(before)
    assert "vision" in again.undecided


def test_the_removal_of_more_than_half_waits_for_two_further_scans(repository: Repository) -> None:
    repository.has(0.0, "digits", "language", "vision")

    repository.has(1.0, "digits")
    half_a_second_later = repository.has(1.5, "digits")
    an_interval_later = repository.has(6.0, "digits")
    two_intervals_later = repository.has(11.0, "digits")

    assert sorted(half_a_second_later.undecided) == ["language", "vision"]
    assert sorted(an_interval_later.undecided) == ["language", "vision"]
    assert an_interval_later.look_again_s == 11.0
    assert (list(two_intervals_later.models), dict(two_intervals_later.undecided)) == (["digits"], {})


def test_the_removal_of_one_of_two_is_an_ordinary_one(repository: Repository) -> None:
    repository.has(0.0, "digits", "language")
    repository.has(1.0, "digits")

    assert dict(repository.has(1.5, "digits").undecided) == {}


def test_the_only_model_may_be_removed_from_the_directory_it_was_in(repository: Repository) -> None:
    repository.has(0.0, "digits")
    repository.has(1.0)

    seen = repository.has(1.5)

    assert (dict(seen.models), dict(seen.undecided), seen.problems) == ({}, {}, ())


def test_an_empty_repository_removes_nothing_however_long_it_stays_so(repository: Repository) -> None:
    repository.has(0.0, "digits", "language")

    for now_s in (1.0, 6.0, 11.0, 16.0, 1000.0):
        seen = repository.has(now_s)

    assert dict(seen.undecided) == {"digits": EMPTY, "language": EMPTY}
    assert seen.problems == (f"models: {EMPTY}; its 2 models keep serving",)
    assert seen.look_again_s is None


def test_another_empty_directory_in_its_place_does_not_remove_even_the_only_model(
    repository: Repository,
) -> None:
    repository.has(0.0, "digits")

    for now_s in (1.0, 6.0, 11.0):
        seen = repository.has(now_s, identity=(9, 2))

    assert dict(seen.undecided) == {"digits": EMPTY}


def test_a_repository_that_cannot_be_read_removes_nothing(repository: Repository) -> None:
    before = repository.has(0.0, "digits", "language")

    for now_s in (1.0, 6.0, 11.0):
        seen = repository.has(now_s, fault="the repository cannot be read: Stale file handle")
    back = repository.has(12.0, "digits", "language")

    assert sorted(seen.undecided) == ["digits", "language"]
    assert seen.problems == (
        "models: the repository cannot be read: Stale file handle; its 2 models keep serving",
    )
    assert back.same_as(before)


def test_a_fault_between_two_scans_starts_the_confirmation_again(repository: Repository) -> None:
    repository.has(0.0, "digits", "language", "vision")
    repository.has(1.0, "digits", "language")
    repository.has(1.3, fault="the repository cannot be read: Input/output error")

    assert "vision" in repository.has(2.0, "digits", "language").undecided
    assert "vision" not in repository.has(2.5, "digits", "language").undecided


def test_the_models_of_a_broken_repository_do_not_hold_up_those_of_another() -> None:
    settling = Settling(SETTLE_S, INTERVAL_S)
    other = Path("other")
    here, there = model_files("digits"), model_files("language", root=other)
    moved_on = model_files("digits", "second")

    def feed(now_s: float, broken: bool) -> SettledRepository:
        seen = (
            snapshot([moved_on], identities={ROOT: (1, 1)}, faults={other: "gone"})
            if broken
            else snapshot([here, there], identities={ROOT: (1, 1), other: (1, 2)})
        )
        return settling.feed(now_s, seen, wall_ns=WALL_NS)

    feed(0.0, broken=False)
    feed(1.0, broken=True)
    seen = feed(1.5, broken=True)

    assert seen.models["digits"].key == "second"
    assert dict(seen.undecided) == {"language": "gone"}


def test_a_model_that_is_renamed_comes_and_goes(repository: Repository) -> None:
    repository.has(0.0, "digits", "language")
    repository.has(1.0, "digits", "tongue")

    seen = repository.has(1.5, "digits", "tongue")

    assert (list(seen.models), dict(seen.undecided)) == (["digits", "tongue"], {})


def test_a_model_that_is_known_to_be_complete_need_not_settle() -> None:
    settling = Settling(SETTLE_S, INTERVAL_S)
    settling.feed(0.0, snapshot(), wall_ns=WALL_NS)
    new, other = model_files("digits", "new"), model_files("language", "new")
    assert settling.changing(7.0, snapshot([new, other]), wall_ns=WALL_NS) == [(new, None), (other, None)]

    seen = settling.feed(7.0, snapshot([new, other]), wall_ns=WALL_NS, complete={"digits"})

    assert (list(seen.models), list(seen.undecided)) == (["digits"], ["language"])
    newer = model_files("digits", "newer")
    assert settling.changing(7.1, snapshot([newer, other]), wall_ns=WALL_NS) == [(newer, new), (other, None)]
    assert settling.changing(7.5, snapshot([new, other]), wall_ns=WALL_NS) == []


def test_at_the_start_old_files_are_not_worth_looking_into() -> None:
    settling = Settling(SETTLE_S, INTERVAL_S)
    old, fresh = model_files("digits", newest_ns=OLD_NS), model_files("language", newest_ns=WALL_NS)
    assert settling.changing(0.0, snapshot([old, fresh]), wall_ns=WALL_NS) == [(fresh, None)]


@pytest.mark.parametrize("jump_ns", [-(10**18), 10**18], ids=["back", "forth"])
def test_a_wall_clock_that_jumps_neither_hurries_nor_holds_up(jump_ns: int) -> None:
    settling = Settling(SETTLE_S, INTERVAL_S)
    settling.feed(0.0, snapshot([model_files("digits", "a")]), wall_ns=WALL_NS)

    changed = snapshot([model_files("digits", "b", newest_ns=WALL_NS)])
    early = settling.feed(1.0, changed, wall_ns=WALL_NS + jump_ns)
    late = settling.feed(1.5, changed, wall_ns=WALL_NS - jump_ns)

    assert list(early.undecided) == ["digits"]
    assert list(late.models) == ["digits"]
