"""Replays: what is written is read, and what is broken is named."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim_core.errors import BadReplay
from sim_core.matches.local_replay import write_local_replay
from sim_core.replays.histogram import added, observed, quantile_ms
from sim_core.replays.reader import find_replays, open_replay, open_replays
from sim_core.replays.schema import COLUMNS, LATENCY_BOUNDS_MS
from sim_core.replays.writer import MatchRecord
from tests.support.server import ROOT

MATCHES = 12
PART = 5


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_local_replay(tmp_path / "replay", matches=MATCHES, part_matches=PART)
    return tmp_path / "replay"


def change(path: Path, key: str, value: object) -> None:
    document = json.loads(path.read_bytes())
    document[key] = value
    path.write_text(json.dumps(document))


def test_every_match_is_there_with_a_row_for_each_agent_and_tick(directory: Path) -> None:
    replay = open_replay(directory)
    rows = replay.scan().collect()

    assert replay.problems == ()
    assert replay.header.complete
    assert [entry.match for entry in replay.matches] == list(range(MATCHES))
    assert len(rows) == sum((entry.ticks + 1) * 8 for entry in replay.matches)
    assert rows.equals(rows.sort("match", "tick", "agent"))
    assert rows.select("match", "tick", "agent").is_duplicated().sum() == 0


def test_the_rows_are_a_ledger_of_health_and_energy(directory: Path) -> None:
    rows = open_replay(directory).scan().collect().with_columns(pl.selectors.integer().cast(pl.Int64))
    before = pl.col("health", "energy").shift(1).over("match", "agent").name.suffix("_before")
    moments = rows.with_columns(before).filter(pl.col("tick") > 0)
    healed = pl.col("healing_received") + pl.col("pack_health")

    assert moments.select(
        (pl.col("health") == pl.col("health_before") - pl.col("damage_taken") + healed).all(),
        (
            pl.col("energy") == pl.col("energy_before") - pl.col("energy_spent") + pl.col("energy_gained")
        ).all(),
    ).row(0) == (True, True)
    sums = rows.group_by("match", "tick").agg(pl.col("damage_dealt", "damage_taken").sum())
    assert sums.select((pl.col("damage_dealt") == pl.col("damage_taken")).all()).item()


def test_a_row_has_an_action_if_its_agent_was_there_to_take_one(directory: Path) -> None:
    rows = open_replay(directory).scan().collect()
    was_alive = pl.col("alive").shift(1, fill_value=False).over("match", "agent")

    assert rows.select((pl.col("action").is_not_null() == was_alive).all()).item()


def test_entries_agree_with_the_rows(directory: Path) -> None:
    replay = open_replay(directory)
    rows = replay.scan().collect()
    for entry in replay.matches:
        mine = rows.filter(pl.col("match") == entry.match)
        last = mine.filter(pl.col("tick") == entry.ticks).group_by("team").agg(pl.col("health").sum())
        health = dict(last.iter_rows())
        best = max(health, key=lambda team: health[team]) if health[0] != health[1] else None
        assert mine["tick"].max() == entry.ticks
        assert entry.winner == best
        assert sum(entry.decisions) == mine["action"].is_not_null().sum()
        assert set(mine.group_by("team", "policy").len().select("team", "policy").iter_rows()) == set(
            enumerate(entry.policies)
        )


@pytest.mark.parametrize("parallel", [8, 64])
def test_the_same_matches_give_the_same_bytes_however_many_are_played_at_once(
    directory: Path, tmp_path: Path, parallel: int
) -> None:
    write_local_replay(tmp_path / "other", matches=MATCHES, part_matches=PART, parallel=parallel)
    write_local_replay(tmp_path / "alone", matches=MATCHES, part_matches=PART, parallel=1)

    for name in sorted(each.name for each in directory.glob("*.parquet")):
        contents = {
            (where / name).read_bytes() for where in (directory, tmp_path / "other", tmp_path / "alone")
        }
        assert len(contents) == 1


def test_an_error_in_the_middle_keeps_the_matches_that_were_over(directory: Path, tmp_path: Path) -> None:
    over: list[MatchRecord] = []

    def stop(record: MatchRecord) -> None:
        over.append(record)
        if len(over) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_local_replay(tmp_path / "cut", matches=MATCHES, part_matches=PART, written=stop)
    cut = open_replay(tmp_path / "cut")

    assert not cut.header.complete
    assert len(cut.matches) == 7
    assert cut.problems == (f"{tmp_path / 'cut'}: 7 of {MATCHES} matches are there",)
    whole = open_replay(directory).scan().filter(pl.col("match").is_in([e.match for e in cut.matches]))
    assert cut.scan().collect().equals(whole.collect())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda part: part.write_bytes(part.read_bytes()[:-100]), "cut off or was changed"),
        (lambda part: part.write_bytes(b""), "cut off or was changed"),
        (lambda part: part.with_suffix(".json").unlink(), "part-00001.json: cannot be read"),
        (lambda part: part.with_suffix(".json").write_text("{"), "is not JSON, or is cut off"),
        (lambda part: change(part.with_suffix(".json"), "rows", "many"), "rows: "),
        (lambda part: change(part.with_suffix(".json"), "latencies", []), "latencies of 0 policies"),
        (lambda part: part.unlink(), "7 of 12 matches are there"),
    ],
    ids=["cut off", "empty", "no sidecar", "half a sidecar", "odd sidecar", "no latencies", "gone"],
)  # fmt: skip
def test_a_part_that_is_spoilt_is_named_and_the_others_are_read(
    directory: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(directory / "part-00001.parquet")
    replay = open_replay(directory)

    assert any(says in problem for problem in replay.problems)
    assert [entry.match for entry in replay.matches] == [*range(PART), *range(2 * PART, MATCHES)]
    assert replay.scan().select(pl.col("match").n_unique()).collect().item() == MATCHES - PART


def test_a_part_with_other_columns_is_refused(directory: Path) -> None:
    part = directory / "part-00001.parquet"
    pq.write_table(pa.table({"match": [1]}), part)
    change(part.with_suffix(".json"), "sha256", hashlib.sha256(part.read_bytes()).hexdigest())
    assert "does not have the columns" in open_replay(directory).problems[0]


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_schema_version_is_refused_by_its_name(directory: Path, version: object) -> None:
    change(directory / "replay.json", "schema", version)
    with pytest.raises(BadReplay, match=f"schema version {version!r}; this release reads 1"):
        open_replay(directory)


def test_a_header_with_a_key_that_is_unknown_is_refused_by_its_name(directory: Path) -> None:
    change(directory / "replay.json", "colour", "red")
    with pytest.raises(BadReplay, match=r"replay\.json: colour: "):
        open_replay(directory)


def test_a_replay_of_which_nothing_is_whole_is_refused(directory: Path) -> None:
    for part in directory.glob("*.parquet"):
        part.write_bytes(b"PAR1")
    with pytest.raises(BadReplay, match="nothing of the replay can be read"):
        open_replay(directory)


def test_places_without_replays_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, says in (("file", "is a file"), ("empty", "holds no replay"), ("none", "no such directory")):
        with pytest.raises(BadReplay, match=says):
            find_replays([tmp_path / name])
        with pytest.raises(BadReplay):
            open_replay(tmp_path / name)


def test_replays_are_found_below_a_directory_and_other_rules_do_not_mix(directory: Path) -> None:
    write_local_replay(directory.parent / "second", matches=2, seed=9)
    assert len(open_replays([directory.parent])) == 2

    header = directory.parent / "second" / "replay.json"
    change(header, "rules", json.loads(header.read_bytes())["rules"] | {"damage": 13})
    with pytest.raises(BadReplay, match=r"has other rules than .* \(damage 13, not 12\)"):
        open_replays([directory.parent])


def test_a_directory_that_has_one_is_not_written_over(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(BadReplay, match="holds a replay already"):
        write_local_replay(directory, matches=2)
    assert before == {path: path.read_bytes() for path in directory.iterdir()}


def test_latencies_add_up() -> None:
    latencies = added([observed([1.0, 2.0, 300.0]), observed([]), observed([1e9])])

    assert (sum(latencies.counts), latencies.counts[-1], latencies.most_ms) == (4, 1, 1e9)
    assert 2.0 <= quantile_ms(latencies, 0.5) <= 2.0 * 2**0.25
    assert quantile_ms(latencies, 1.0) == 1e9
    assert quantile_ms(observed([]), 0.5) != quantile_ms(observed([]), 0.5)
    assert list(LATENCY_BOUNDS_MS) == sorted(set(LATENCY_BOUNDS_MS))


def test_the_page_has_every_column() -> None:
    page = (ROOT / "docs/replays.md").read_text()
    assert [
        each.name for each in COLUMNS if f"| `{each.name}` | {each.type} | {each.meaning} |" not in page
    ] == []
