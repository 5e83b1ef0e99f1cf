"""`python -m sim_core` as people use it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sim_core.cli.main import cli
from sim_core.legacy_rps.game import LegacyGameWarning
from sim_core.replays.reader import open_replay

NOBODY = "grpc://127.0.0.1:9"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def error(result: Result) -> str:
    """The one line that tells what is wrong."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line


def test_play_tells_who_won_and_writes_a_replay(tmp_path: Path) -> None:
    result = run("play", "random", "scripted", "--matches", "6", "--replay", tmp_path / "replay", "--json")
    document = json.loads(result.stdout)

    assert result.exit_code == 0
    assert document["matches"] == 6
    assert [policy["won"] for policy in document["policies"]] == [0, 6]
    assert document["policies"][0]["fallbacks"] == {}
    assert len(open_replay(tmp_path / "replay").matches) == 6


def test_play_prints_a_table() -> None:
    lines = run("play", "random", "scripted", "--matches", "2").stdout.splitlines()

    assert lines[0].split()[:4] == ["POLICY", "WON", "DRAWN", "LOST"]
    assert lines[3].split()[:5] == ["scripted", "2", "0", "0", "100.0%"]
    assert "ticks in" in lines[-1]


def test_a_tournament_rates_the_better_one_higher() -> None:
    result = run("tournament", "random", "scripted", "--matches", "10", "--json")
    document = json.loads(result.stdout)
    low, high = document["policies"]

    assert low["elo_low"] < low["elo"] < low["elo_high"] < high["elo_low"] < high["elo"] < high["elo_high"]
    assert document["pairs"] == [
        {"first": "random", "second": "scripted", "won": 0, "drawn": 0, "lost": 10, "wins": 0.0,
         "wins_low": 0.0, "wins_high": pytest.approx(0.2775, abs=1e-4)}
    ]  # fmt: skip


def test_a_tournament_prints_ratings_and_pairs() -> None:
    result = run("tournament", "random", "scripted", "--matches", "4")
    assert result.exit_code == 0
    assert "ELO" in result.stdout
    assert "random v scripted" in result.stdout


def test_watch_draws_the_end_where_there_is_no_terminal() -> None:
    result = run("watch", "random", "scripted")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("scripted won after ")
    assert " . . " in result.stdout


def test_watch_draws_a_match_of_a_replay_as_it_was_played(tmp_path: Path) -> None:
    run("play", "random", "scripted", "--matches", "3", "--replay", tmp_path / "replay")
    from_replay = run("watch", "--replay", tmp_path / "replay", "--match", "2")
    again = run("watch", "random", "scripted", "--match", "2")

    assert from_replay.exit_code == 0
    assert from_replay.stdout == again.stdout


def test_rock_paper_scissors_is_played_and_warns() -> None:
    with pytest.warns(LegacyGameWarning, match="legacy"):
        result = run("play", "random", "scripted", "--game", "rps", "--matches", "8")
    assert result.exit_code == 0


def test_what_cannot_be_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    run("play", "random", "scripted", "--matches", "1", "--replay", tmp_path / "replay")

    assert "no server answers" in error(run("play", "nobody", "scripted", "--url", NOBODY))
    assert "does not say which protocol" in error(run("play", "x", "random", "--url", "127.0.0.1:8001"))
    assert "holds a replay already" in error(run("play", "random", "random", "--replay", tmp_path / "replay"))
    assert "holds no replay" in error(run("watch", "--replay", tmp_path / "there"))
    assert "no such directory" in error(run("watch", "--replay", tmp_path / "nowhere"))
    assert "match 5 is not there; it has 0 to 0" in error(
        run("watch", "--replay", tmp_path / "replay", "--match", "5")
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("tournament", "random"),
        ("tournament", "random", "random"),
        ("watch", "random"),
        ("watch", "random", "random", "--replay", "x"),
        ("play", "random"),
        ("play", "random", "random", "--matches", "0"),
        ("play", "random", "random", "--game", "chess"),
        ("nothing",),
    ],
    ids=" ".join,
)
def test_a_mistake_in_the_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_help_names_every_command() -> None:
    assert {"play", "tournament", "watch"} <= set(run("--help").stdout.split())
