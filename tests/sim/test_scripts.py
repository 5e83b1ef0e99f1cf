"""The three scripts as people use them: tables, JSON, CSV and plots, and replays of which a part is bad."""

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sim_core.cli.main import cli
from sim_core.figures.collection import collect_replays
from sim_core.figures.wins import win_rates
from sim_core.legacy_rps.game import LegacyGameWarning
from sim_core.matches.local_replay import write_local_replay
from tests.support.server import ROOT

COMMANDS = ("analyze", "health", "matches")
SCRIPTS = ("analyze_replays", "summarize_final_health", "summarize_match_details")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def change(path: Path, key: str, value: object) -> None:
    document = json.loads(path.read_bytes())
    document[key] = value
    path.write_text(json.dumps(document))


@pytest.fixture
def replays(tmp_path: Path) -> Path:
    """Two: `first` of three parts, and `second`."""
    write_local_replay(tmp_path / "replays" / "first", matches=6, part_matches=2)
    write_local_replay(tmp_path / "replays" / "second", matches=2, seed=2)
    return tmp_path / "replays"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_prints_tables(replays: Path, command: str) -> None:
    result = run(command, replays)

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "8 matches of arena in 2 replays"
    assert "scripted" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_json_and_csv_have_the_same_tables(replays: Path, tmp_path: Path, command: str) -> None:
    result = run(command, replays, "--json", "--csv", tmp_path / "csv")
    document = json.loads(result.stdout)
    files = {file.stem: file for file in (tmp_path / "csv").iterdir()}

    assert (document["game"], document["matches"], document["problems"]) == ("arena", 8, [])
    assert document["tables"].keys() == files.keys()
    for name, rows in document["tables"].items():
        assert len(files[name].read_text().splitlines()) == len(rows) + 1
        if rows:
            assert pl.read_csv(files[name]).columns == list(rows[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_plots_are_pictures(replays: Path, tmp_path: Path, command: str) -> None:
    assert run(command, replays, "--plots", tmp_path / "plots").exit_code == 0
    files = sorted((tmp_path / "plots").iterdir())

    assert len(files) >= 3
    for file in files:
        with Image.open(file) as image:
            image.load()
            assert (image.format, image.width) == ("PNG", 960)
            # Something is drawn: not one colour.
            assert len(image.convert("L").getcolors() or []) > 2


def test_a_match_has_its_timeline(replays: Path) -> None:
    tables = json.loads(run("matches", replays, "--match", "1", "--json").stdout)["tables"]
    directories = {str(replays / name) for name in ("first", "second")}

    assert {row["replay"] for row in tables["matches"]} == directories
    assert {row["match"] for row in tables["events"]} == {1}
    assert {row["event"] for row in tables["events"]} >= {"killed"}
    assert "killed" in run("matches", replays, "--match", "1").stdout
    missing = run("matches", replays, "--match", "77")
    assert (missing.exit_code, missing.stderr) == (
        1,
        "Error: match 77 is in none of the replays: they have 0 to 5\n",
    )


def test_effects_depend_on_the_seed_that_is_told(replays: Path) -> None:
    one, again, other = (run("health", replays, "--json", "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert one == again != other


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_is_a_program_of_its_own(replays: Path, script: str) -> None:
    path = ROOT / "sim_core" / "scripts" / f"{script}.py"
    found = subprocess.run(
        [sys.executable, str(path), str(replays / "none"), str(replays / "second"), "--json"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert found.returncode == 3, found.stderr
    assert json.loads(found.stdout)["matches"] == 2
    assert found.stderr == f"Warning: {replays / 'none'}: there is no such directory\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_part_that_is_cut_off_is_left_out_with_a_warning(replays: Path, command: str) -> None:
    part = replays / "first" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-50])
    result = run(command, replays)

    assert result.exit_code == 3
    assert result.stdout.startswith("6 matches of arena in 2 replays\n")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"Warning: {part}: is cut off or was changed")
    assert second == f"Warning: {replays / 'first'}: 4 of 6 matches are there"


def test_what_cannot_be_read_is_named_and_the_rest_is_summarised(replays: Path, tmp_path: Path) -> None:
    for name in ("newer", "broken", "other rules"):
        write_local_replay(replays / name, matches=2)
    change(replays / "newer" / "replay.json", "schema", 2)
    (replays / "broken" / "replay.json").write_text("{")
    rules = json.loads((replays / "other rules" / "replay.json").read_bytes())["rules"]
    change(replays / "other rules" / "replay.json", "rules", rules | {"damage": 13})
    (tmp_path / "empty").mkdir()
    result = run("analyze", replays, tmp_path / "empty", tmp_path / "nowhere", "--json")
    document = json.loads(result.stdout)

    assert result.exit_code == 3
    assert document["matches"] == 8
    told = "\n".join(document["problems"])
    for line in (
        "newer/replay.json: is of schema version 2; this release reads 1",
        "broken/replay.json: is not JSON, or is cut off",
        f"other rules: left out: has other rules than {replays / 'first'} (damage 13, not 12)",
        "empty: holds no replay",
        "nowhere: there is no such directory",
    ):
        assert line in told
    assert len(result.stderr.splitlines()) == len(document["problems"]) == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_that_can_be_read_is_one_line_and_exit_code_1(tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(command, tmp_path / "empty", tmp_path / "nowhere")

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / 'empty'}: holds no replay")
    assert line.endswith("(1 more could not be read either)")


def test_a_sidecar_that_was_edited_is_refused_by_name(replays: Path) -> None:
    sidecar = replays / "second" / "part-00000.json"
    matches = json.loads(sidecar.read_bytes())["matches"]
    change(sidecar, "matches", [{**matches[0], "policies": [0, 7]}, matches[1]])
    assert "match 0: its policies or winner are none of the header's" in run("analyze", replays).stderr

    latencies = json.loads(sidecar.read_bytes())["latencies"]
    change(sidecar, "latencies", [{**latencies[0], "counts": [1, 2]}, latencies[1]])
    assert "has latencies of other buckets" in run("analyze", replays).stderr

    change(sidecar, "latencies", latencies)
    change(sidecar, "matches", [{**matches[0], "match": 9}, matches[1]])
    result = run("matches", replays)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "match 9 has no rows" in result.stderr


def test_rules_that_are_no_numbers_are_refused(replays: Path) -> None:
    header = replays / "second" / "replay.json"
    rules = json.loads(header.read_bytes())["rules"]
    change(header, "rules", rules | {"health": "much"})
    result = run("health", replays / "second")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "rules.health is 'much', expected a number" in result.stderr


def test_a_place_that_cannot_be_written_is_named(replays: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("analyze", replays, "--csv", tmp_path / "file" / "csv")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr.splitlines()[-1]


def test_the_same_replay_twice_counts_once(replays: Path) -> None:
    assert len(collect_replays([replays, replays / "first"]).replays) == 2


def test_one_name_with_other_weights_is_another_policy(replays: Path) -> None:
    for name, content in (("first", "00aa" * 4), ("second", "00bb" * 4)):
        header = replays / name / "replay.json"
        policies = json.loads(header.read_bytes())["policies"]
        served = {"name": "brain:1", "kind": "served", "model": "brain", "version": 1, "content": content}
        change(header, "policies", [policies[0], policies[1] | served])
    collection = collect_replays([replays])

    assert collection.policies == ("random", "brain:1#00aa00aa", "brain:1#00bb00bb")
    assert win_rates(collection)["won"].to_list() == [0, 6, 2]


def test_a_name_is_shown_as_it_is_and_acts_on_no_terminal(replays: Path, tmp_path: Path) -> None:
    header = replays / "second" / "replay.json"
    policies = json.loads(header.read_bytes())["policies"]
    change(header, "policies", [policies[0] | {"name": "$\\frac{\x1b[2J"}, policies[1]])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        result = run("analyze", replays / "second", "--plots", tmp_path / "plots")

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "$\\frac{\\x1b[2J" in result.stdout
    Image.open(io.BytesIO((tmp_path / "plots" / "wins.png").read_bytes())).verify()


@pytest.mark.parametrize("command", COMMANDS)
def test_rock_paper_scissors_is_summarised_too(tmp_path: Path, command: str) -> None:
    with pytest.warns(LegacyGameWarning, match="legacy"):
        run("play", "random", "scripted", "--game", "rps", "--matches", "6", "--replay", tmp_path / "rps")
    result = run(command, tmp_path / "rps", "--plots", tmp_path / "plots")
    assert result.exit_code == 0, result.output
    assert "6 matches of rps" in result.stdout
