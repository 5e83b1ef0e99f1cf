"""Training finds what it looks for, twice the same, and what it found is what is shipped."""

import numpy as np
import pytest

from sim_core.arena.game import Arena
from sim_core.arena.script import script
from sim_core.legacy_rps.game import RockPaperScissors
from sim_core.matches.play import Play, fixtures
from sim_core.matches.results import Results, scores
from sim_core.policies.local import ScriptedPolicy
from sim_core.policies.policy import Policy
from sim_core.training.arena import train_first, train_second
from sim_core.training.evolution import Evolution, Vector, evolve
from sim_core.training.fitness import as_opponent, rate
from sim_core.training.network import Network
from sim_core.training.rps import train_rps
from tests.sim.policies import NetworkPolicy, any_network, shipped_network

SHORT = Evolution(generations=2, pairs=2)
MATCHES = 250


def unheard(generation: int, rating: float) -> None:
    """Nobody watches."""


def test_evolution_climbs() -> None:
    goal = np.linspace(-1, 1, 20)

    def fitness(candidates: Vector, generation: int) -> Vector:
        return np.asarray(-((candidates - goal) ** 2).sum(axis=1), np.float64)

    search = Evolution(generations=150, pairs=16, decay=0.0)
    found = evolve(np.zeros(20), fitness, search, np.random.default_rng(1), unheard)
    assert abs(found - goal).max() < 0.15


def test_candidates_that_are_all_alike_give_no_direction() -> None:
    start = np.ones(5)
    found = evolve(
        start,
        lambda candidates, generation: np.zeros(len(candidates)),
        Evolution(generations=4, pairs=3, decay=0.0),
        np.random.default_rng(1),
        unheard,
    )
    assert np.array_equal(found, start)


def test_the_same_seed_trains_the_same_policies() -> None:
    def fingerprints() -> list[int]:
        first = train_first(5, unheard, SHORT)
        return [network.fingerprint() for network in (first, train_second(5, first, unheard, SHORT))]

    assert fingerprints() == fingerprints()


@pytest.mark.filterwarnings("ignore::sim_core.legacy_rps.game.LegacyGameWarning")
def test_rock_paper_scissors_is_learned() -> None:
    network = train_rps(RockPaperScissors(), 7, unheard)
    assert network.fingerprint() == shipped_network("rps_policy", 1).fingerprint()


def test_a_network_draws_against_itself() -> None:
    network = any_network(4)
    many = Network(*(each[None] for each in (network.direct, network.into, network.out)))
    assert rate(Arena(), many, (as_opponent(network),), seed=1, matches=range(4)).tolist() == [0.0]


async def wins(game: Arena, first: Policy, second: Policy) -> float:
    """The share of matches that the first wins, sides swapped."""
    results = Results(("first", "second"))
    play = Play(game, (first, second), seed=2024, parallel=MATCHES)
    await play.play(fixtures(MATCHES), results.add)
    (score,) = scores(results.entries)
    return score.won / MATCHES


async def test_each_shipped_version_beats_what_came_before_it() -> None:
    """On grounds that no training has seen."""
    first, second = (NetworkPolicy(shipped_network("arena_policy", version)) for version in (1, 2))

    assert await wins(Arena(), first, ScriptedPolicy(script)) >= 0.55
    assert await wins(Arena(), second, first) >= 0.60
    assert await wins(Arena(), second, ScriptedPolicy(script)) >= 0.55
