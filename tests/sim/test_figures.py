"""Every figure of the scripts, beside a plain recomputation from the rows one by one."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
import pytest

from sim_core.figures.anomalies import OSCILLATION_TICKS, STUCK_TICKS, anomalies, anomaly_counts
from sim_core.figures.collection import Collection, collect_replays
from sim_core.figures.conduct import (
    action_counts,
    action_mix,
    answered_by,
    band_counts,
    differences,
    phase_ticks,
    places,
)
from sim_core.figures.courses import (
    exchanges,
    lead_changes,
    leads,
    match_table,
    told_events,
    turning_point,
)
from sim_core.figures.effect import effects, team_health
from sim_core.figures.health import agent_ends, health_by, health_counts, most_health, survivors
from sim_core.figures.wins import decision_counts, fallback_reasons, pairs, standings, win_rates
from sim_core.matches.local_replay import write_local_replay
from sim_core.replays.reader import open_replays

Row = dict[str, Any]
Z = 1.959964


@dataclass(frozen=True)
class Told:
    """Two replays, as figures see them and as plain rows."""

    collection: Collection
    rows: list[Row]

    @cached_property
    def moments(self) -> list[Row]:
        """The rows in which something was decided."""
        return [row for row in self.rows if row["action"] is not None]

    @cached_property
    def agents(self) -> dict[tuple[int, int, int], list[Row]]:
        """The rows of each agent of each match, by tick."""
        found = defaultdict(list)
        for row in self.rows:
            found[row["replay"], row["match"], row["agent"]].append(row)
        return {key: sorted(mine, key=lambda row: row["tick"]) for key, mine in sorted(found.items())}

    @cached_property
    def entries(self) -> list[tuple[int, Any]]:
        return [
            (number, entry) for number, each in enumerate(self.collection.replays) for entry in each.matches
        ]

    def has(self, row: Row, event: str) -> bool:
        return bool(row["events"] >> self.collection.header.events.index(event) & 1)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp("replays")
    write_local_replay(directory / "first", matches=9, part_matches=4)
    write_local_replay(directory / "second", matches=5, seed=8)
    rows = [
        {"replay": number, **row}
        for number, replay in enumerate(open_replays([directory]))
        for row in replay.scan().collect().iter_rows(named=True)
    ]
    return Told(collect_replays([directory]), rows)


def test_win_rates_are_those_of_the_entries(told: Told) -> None:
    for row in win_rates(told.collection).iter_rows(named=True):
        place = told.collection.policies.index(row["policy"])
        sides = [(entry, entry.policies.index(place)) for _, entry in told.entries]
        won = sum(entry.winner == side for entry, side in sides)
        share, of = won / len(sides), len(sides)
        centre = (share + Z**2 / (2 * of)) / (1 + Z**2 / of)
        half = Z * sqrt(share * (1 - share) / of + Z**2 / (4 * of**2)) / (1 + Z**2 / of)
        left = [entry.winner == 0 for entry, side in sides if side == 0]
        assert (row["won"], row["mirror"]) == (won, 0)
        assert row["won"] + row["drawn"] + row["lost"] == of == 14
        assert (row["wins_low"], row["wins_high"]) == pytest.approx(
            (max(centre - half, 0), min(centre + half, 1))
        )
        assert row["wins_left"] == pytest.approx(sum(left) / len(left))
        assert row["ticks"] == pytest.approx(sum(entry.ticks for entry, _ in sides) / of)


def test_pairs_and_standings_agree_with_the_win_rates(told: Told) -> None:
    (pair,) = pairs(told.collection).to_dicts()
    wins = {row["policy"]: row for row in win_rates(told.collection).to_dicts()}
    table = standings(told.collection).to_dicts()

    assert (pair["won"], pair["drawn"], pair["lost"]) == tuple(
        wins[pair["first"]][key] for key in ("won", "drawn", "lost")
    )
    assert [row["policy"] for row in table] == sorted(wins, key=lambda name: -wins[name]["won"])
    assert all(row["points"] == 2 * row["won"] + row["drawn"] for row in table)
    assert sum(row["elo"] for row in table) == pytest.approx(3000)


def test_decisions_are_counted_and_local_policies_take_no_time(told: Told) -> None:
    counts = Counter(row["policy"] for row in told.moments)
    for place, row in enumerate(decision_counts(told.collection).iter_rows(named=True)):
        assert row["decisions"] == counts[place]
        assert (row["fallbacks"], row["fallback_share"], row["p50_ms"]) == (0, 0, None)
    assert fallback_reasons(told.collection).is_empty()
    assert answered_by(told.collection).collect().is_empty()


def test_the_mix_of_actions_is_that_of_the_rows(told: Told) -> None:
    length = phase_ticks(told.collection)
    counts = action_counts(told.collection).collect()
    expected = Counter((row["policy"], (row["tick"] - 1) // length, row["action"]) for row in told.moments)
    actions = told.collection.header.actions

    assert {tuple(row[:3]): row[3] for row in counts.iter_rows()} == expected
    for over_time in (False, True):
        mix = action_mix(told.collection, counts, over_time=over_time)
        assert mix.select(pl.sum_horizontal(actions)).to_series().to_list() == pytest.approx([1.0] * len(mix))
        for row in mix.iter_rows(named=True):
            mine = [
                moment["action"]
                for moment in told.moments
                if told.collection.policies[moment["policy"]] == row["policy"]
                and (not over_time or 0 <= moment["tick"] - row["from_tick"] < length)
            ]
            assert row["decisions"] == len(mine)
            assert row["attack"] == pytest.approx(mine.count(actions.index("attack")) / len(mine))


def test_places_are_seen_from_the_left(told: Told) -> None:
    width = told.collection.header.width
    positions: Counter[tuple[int, int, int]] = Counter()
    deaths: Counter[tuple[int, int, int]] = Counter()
    for row in told.rows:
        x = row["x"] if row["team"] == 0 else width - 1 - row["x"]
        if row["tick"] > 0:
            positions[row["policy"], x, row["y"]] += row["alive"]
            deaths[row["policy"], x, row["y"]] += told.has(row, "died")
    found = places(told.collection).collect()

    assert {tuple(row[:3]): row[3] for row in found.iter_rows() if row[3]} == +positions
    assert {tuple(row[:3]): row[4] for row in found.iter_rows() if row[4]} == +deaths
    assert deaths.total() > 0


def test_the_distance_of_two_policies_is_half_of_what_their_shares_differ_by(told: Told) -> None:
    found = differences(told.collection, band_counts(told.collection).collect())
    names = told.collection.header.actions
    before = {}
    for mine in told.agents.values():
        for earlier, row in pairwise(mine):
            before[row["replay"], row["match"], row["agent"], row["tick"]] = earlier["health"]

    def band(row: Row) -> str:
        health = before[row["replay"], row["match"], row["agent"], row["tick"]]
        return "low" if health <= 64 / 3 else "middle" if health <= 128 / 3 else "high"

    assert found["health"].to_list() == ["any", "low", "middle", "high"]
    for row in found.iter_rows(named=True):
        shares = []
        for policy in (0, 1):
            taken = [each["action"] for each in told.moments
                    if each["policy"] == policy and row["health"] in ("any", band(each))]  # fmt: skip
            shares.append([taken.count(action) / len(taken) for action in range(len(names))])
        more = [there - here for here, there in zip(*shares, strict=True)]
        assert row["distance"] == pytest.approx(sum(map(abs, more)) / 2)
        assert abs(row["more_often"]) == pytest.approx(max(map(abs, more)))
        assert more[names.index(row["action"])] == pytest.approx(row["more_often"])


def test_agents_that_get_nowhere_are_found(told: Told) -> None:
    found = anomalies(told.collection).collect()
    expected = []
    for (replay, match, agent), mine in told.agents.items():
        held = {"stuck": 0, "oscillation": 0}
        for place, row in enumerate([*mine[1:], None], start=1):
            now = dict.fromkeys(held, False)
            if row is not None and row["action"] is not None and row["alive"]:
                cells = [(each["x"], each["y"]) for each in mine]
                quiet = not any(
                    row[key]
                    for key in (
                        "damage_dealt",
                        "damage_taken",
                        "healing_given",
                        "healing_received",
                        "pack_health",
                    )
                )
                now["stuck"] = cells[place] == cells[place - 1] and quiet
                now["oscillation"] = place >= 2 and cells[place] == cells[place - 2] != cells[place - 1]
            for kind, least in (("stuck", STUCK_TICKS), ("oscillation", OSCILLATION_TICKS)):
                if not now[kind] and held[kind] >= least:
                    expected.append((kind, replay, match, agent, place - held[kind], held[kind]))
                held[kind] = held[kind] + 1 if now[kind] else 0
    columns = ("kind", "replay", "match", "agent", "from_tick", "ticks")

    assert sorted(found.select(columns).iter_rows()) == sorted(expected)
    assert len(expected) > 0
    counted = anomaly_counts(told.collection, found)
    assert [sum(row) for row in counted.select("stuck", "oscillation").iter_rows()] == [
        len(found.filter(policy=place)) for place in range(len(counted))
    ]


def test_how_agents_ended_is_in_their_last_rows(told: Told) -> None:
    ends = agent_ends(told.collection).collect()
    by_key = {(row["replay"], row["match"], row["agent"]): row for row in ends.iter_rows(named=True)}

    assert by_key.keys() == told.agents.keys()
    for key, mine in told.agents.items():
        row = by_key[key]
        for column in ("damage_dealt", "damage_taken", "healing_given", "healing_received", "pack_health"):
            assert row[column] == sum(each[column] for each in mine)
        assert (row["health"], row["alive"]) == (mine[-1]["health"], mine[-1]["alive"])
        assert row["kills"] == sum(told.has(each, "killed") for each in mine)
        assert (row["policy"], row["team"], row["version"]) == (mine[0]["policy"], mine[0]["team"], 0)


def test_final_health_is_summed_up_by_any_key(told: Told) -> None:
    ends = agent_ends(told.collection).collect()
    for row in health_by(ends, "policy", "team").iter_rows(named=True):
        mine = [rows[-1] for rows in told.agents.values()
                if (rows[0]["policy"], rows[0]["team"]) == (row["policy"], row["team"])]  # fmt: skip
        health = [each["health"] for each in mine]
        assert row["agents"] == len(mine)
        assert row["survived"] == pytest.approx(sum(each["alive"] for each in mine) / len(mine))
        assert row["health"] == pytest.approx(sum(health) / len(health))
        assert row["deviation"] == pytest.approx(np.std(health, ddof=1))
        assert [row[name] for name in ("q25", "median", "q75")] == pytest.approx(
            np.quantile(health, [0.25, 0.5, 0.75]).tolist()
        )


def test_the_distribution_and_the_survivors_count_everybody_once(told: Told) -> None:
    ends = agent_ends(told.collection).collect()
    counts = health_counts(ends, most=most_health(told.collection))
    last = [mine[-1] for mine in told.agents.values()]
    binned = Counter((row["policy"], min(row["health"] // 4 * 4, 60)) for row in last)
    teams: Counter[tuple[int, int, int]] = Counter()
    for row in last:
        teams[row["replay"], row["match"], row["policy"]] += row["alive"]
    alive = Counter((policy, count) for (_, _, policy), count in teams.items())

    assert {(row[0], row[2]): row[3] for row in counts.iter_rows()} == binned
    left = survivors(ends)
    assert {(row["policy"], row["survivors"]): row["teams"] for row in left.to_dicts()} == alive
    assert left.group_by("policy").agg(pl.col("share").sum())["share"].to_list() == pytest.approx([1, 1])


def test_the_effect_is_the_difference_of_means_in_pooled_deviations(told: Told) -> None:
    ends = agent_ends(told.collection).collect()
    (row,) = effects(ends, told.collection.policies, seed=1).to_dicts()
    groups: dict[int, list[float]] = {0: [], 1: []}
    for number, entry in told.entries:
        for policy in (0, 1):
            mine = [rows[-1]["health"] for (replay, match, _), rows in told.agents.items()
                    if (replay, match) == (number, entry.match) and rows[0]["policy"] == policy]  # fmt: skip
            groups[policy].append(sum(mine) / len(mine))
    difference = np.mean(groups[1]) - np.mean(groups[0])
    spread = sum((np.array(values) - np.mean(values)) @ (np.array(values) - np.mean(values))
                 for values in groups.values())  # fmt: skip

    assert row["difference"] == pytest.approx(difference)
    assert row["d"] == pytest.approx(difference / sqrt(spread / (len(groups[0]) + len(groups[1]) - 2)))
    assert (row["teams_first"], row["teams_second"]) == (14, 14)
    assert row["low"] < row["difference"] < row["high"]
    assert row["d_low"] < row["d_high"]
    assert sorted(team_health(ends).filter(policy=1)["health"]) == pytest.approx(sorted(groups[1]))


def test_the_bootstrap_draws_whole_matches_and_depends_on_its_seed_alone(told: Told) -> None:
    ends = agent_ends(told.collection).collect()
    names = told.collection.policies
    one, again, other = (effects(ends, names, seed=seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert one.row(0)[4] == other.row(0)[4]
    assert one.row(0)[5] != other.row(0)[5]

    # What both gain in the same matches does not make their difference any less certain.
    shifted = ends.with_columns(pl.col("health") + 1000 * pl.col("match"))
    assert effects(shifted, names, seed=1).row(0)[4:7] == pytest.approx(one.row(0)[4:7])


def test_no_deviation_is_no_effect_size_and_a_single_team_no_effect(told: Told) -> None:
    ends = agent_ends(told.collection).collect()
    even = ends.with_columns(pl.lit(7).alias("health"))
    row = effects(even, told.collection.policies, seed=1).to_dicts()[0]
    assert (row["difference"], row["low"], row["high"], row["d"], row["d_low"]) == (0, 0, 0, None, None)
    assert effects(ends.filter(replay=0, match=0), told.collection.policies, seed=1).is_empty()


def test_matches_are_told_from_their_rows(told: Told) -> None:
    led, exchanged = (frame.collect() for frame in (leads(told.collection), exchanges(told.collection)))
    table = match_table(told.collection, led, exchanged).to_dicts()

    assert len(table) == len(told.entries)
    for row, (number, entry) in zip(table, told.entries, strict=True):
        mine = [each for each in told.rows if (each["replay"], each["match"]) == (number, entry.match)]
        hurt = [each["tick"] for each in mine if each["damage_taken"]]
        health = [
            [
                sum(each["health"] for each in mine if (each["tick"], each["team"]) == (tick, team))
                for team in (0, 1)
            ]
            for tick in range(entry.ticks + 1)
        ]
        behind = [tick for tick, pair in enumerate(health) if pair[entry.winner] <= pair[1 - entry.winner]]
        assert row["first_blood"] == min(hurt)
        assert (row["ticks"], row["seed"]) == (entry.ticks, (1, 8)[number])
        assert [row["health_left"], row["health_right"]] == health[-1]
        assert row["turning_point"] == max(behind) + 1
        assert row["winner"] == ("random", "scripted")[entry.policies[entry.winner]]
        assert row["kills_left"] == sum(told.has(each, "killed") and each["team"] == 0 for each in mine)


def test_a_match_turns_when_the_lead_is_taken_for_good() -> None:
    assert turning_point([0, 4, -2, 0, 3, 5], 0) == 4
    assert turning_point([0, -1, -2], 1) == 1
    assert turning_point([0, 1, 2], 0) == 1
    assert turning_point([0, 1, 0], None) is None
    assert turning_point([0, 1, 2], 1) is None
    assert turning_point([], 0) is None
    assert lead_changes([0, 4, 0, -2, -1, 0, 3, 5]) == 2
    assert lead_changes([0, 0]) == 0


def test_a_timeline_has_every_kill_with_its_victim(told: Told) -> None:
    events = told_events(told.collection).collect()
    kills = [tuple(row[name] for name in ("replay", "match", "tick", "agent", "target"))
             for row in told.rows if told.has(row, "killed")]  # fmt: skip
    found = events.filter(event="killed").select("replay", "match", "tick", "agent", "target")

    assert sorted(found.iter_rows()) == sorted(kills)
    assert events.select("replay", "match", "tick").equals(
        events.select("replay", "match", "tick").sort(pl.all())
    )
    for _, _, _, _, victim in kills:
        assert victim is not None
