"""What the soak is made of: the ledger of what may answer, and its models."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sim_core.arena.game import Arena
from sim_core.cli.main import cli
from sim_core.errors import SimulationError
from sim_core.policies.policy import NO_REASON, REASONS, Answer
from sim_core.replays.schema import Reason
from sim_core.soak.ledger import Ledger, disagreements
from sim_core.soak.models import STILL, put_models, remove_models

OLD, NEW, OTHER = 11, 22, 33


def answer(*rows: tuple[Reason | None, int, int]) -> Answer:
    """Of rows of (why not, version, weights)."""
    reasons = [NO_REASON if reason is None else REASONS.index(reason) for reason, _, _ in rows]
    zeros = np.zeros(len(rows), np.int32)
    return Answer(
        zeros,
        np.array(reasons, np.int32),
        np.array([version for _, version, _ in rows], np.int32),
        np.array([weights for _, _, weights in rows], np.int64),
        zeros.astype(np.float64),
    )


def ledger() -> Ledger:
    """One version, which was reloaded once."""
    known = Ledger("policy")
    for fingerprint in (OLD, NEW):
        known.publish(1, fingerprint)
    return known


def test_until_a_reload_is_confirmed_either_weights_may_answer() -> None:
    known = ledger()
    known.note(1, known.floor(1), answer((None, 1, OLD), (None, 1, NEW)), 0, 1)
    assert (known.failures, known.answers) == ({}, {(1, OLD): 1, (1, NEW): 1})


def test_a_question_from_before_the_confirmation_may_be_answered_by_the_old_weights() -> None:
    known = ledger()
    floor = known.floor(1)
    known.confirm(1, NEW)
    known.note(1, floor, answer((None, 1, OLD)), 0, 1)
    assert known.failures == {}

    known.note(1, known.floor(1), answer((None, 1, OLD), (None, 1, OLD)), 2, 3)
    assert known.failures == {"policy version 1: weights answered that were replaced before": 2}


def test_another_version_and_other_weights_are_failures() -> None:
    known = ledger()
    known.note(1, 0, answer((None, 2, NEW), (None, 1, OTHER), (None, 1, 0)), 0, 1)
    assert known.failures == {
        "policy version 1: version 2 answered": 1,
        "policy version 1: weights answered that it never had": 2,
    }


@pytest.mark.parametrize(
    ("began_s", "ended_s", "allowed"),
    [(0, 9, 0), (0, 10, 1), (12, 13, 1), (20, 30, 1), (0, 99, 1), (21, 30, 0)],
)
def test_a_version_may_be_missing_while_it_is_away(began_s: float, ended_s: float, allowed: int) -> None:
    known = ledger()
    window = known.open(1, 10)
    window.closed_s = 20
    known.note(1, 0, answer((Reason.NOT_FOUND, 0, 0)), began_s, ended_s)

    assert (known.allowed.total(), window.missed) == (allowed, allowed)
    assert known.failures.total() == 1 - allowed


def test_being_away_excuses_no_other_version_and_no_other_reason() -> None:
    known = ledger()
    known.open(1, 0)
    known.note(1, 0, answer((Reason.UNAVAILABLE, 0, 0)), 1, 2)
    known.note(2, 0, answer((Reason.UNAVAILABLE, 0, 0)), 1, 2)
    for reason in (Reason.FAULT, Reason.INVALID, Reason.DEADLINE, Reason.RATE_LIMITED):
        known.note(1, 0, answer((reason, 0, 0)), 1, 2)

    assert known.allowed == {Reason.UNAVAILABLE: 1}
    assert known.failures.total() == 5
    assert "policy version 1: not answered (fault) while it served" in known.failures


def test_counts_that_differ_are_told_with_both_numbers() -> None:
    known = ledger()
    known.answers[1, NEW] = 3
    assert disagreements(known, {(1, NEW): 3}, where="there") == []
    assert disagreements(known, {(1, NEW): 4, (1, OLD): 0}, where="there") == [
        "policy version 1: 3 answers of 0000000000000016 came, 4 are there"
    ]


def test_a_repository_that_has_such_models_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / STILL).mkdir()
    with pytest.raises(SimulationError, match=f"{STILL}: is there already"):
        put_models(tmp_path, Arena(), 1)
    assert [path.name for path in tmp_path.iterdir()] == [STILL]

    (tmp_path / STILL).rmdir()
    put_models(tmp_path, Arena(), 1)
    remove_models(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        ([], 2, "expected --serve, or the --url"),
        (["--serve", "--url", "grpc://127.0.0.1:9"], 2, "expected --serve, or the --url"),
        (["--serve", "--repository", "/nowhere"], 1, "/nowhere: there is no such directory"),
        (["--url", "grpc://127.0.0.1:9", "--repository", "/nowhere"], 1, "/nowhere: there is no such"),
    ],
)  # fmt: skip
def test_what_cannot_begin_is_said_in_a_line(arguments: list[str], exit_code: int, says: str) -> None:
    result = CliRunner().invoke(cli, ["soak", *arguments])
    assert result.exit_code == exit_code
    assert says in result.stderr.splitlines()[-1]
