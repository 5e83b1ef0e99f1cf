"""Other people's tools find in the arena what they expect of a PettingZoo environment."""

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

from sim_core.legacy_rps.game import LegacyGameWarning, RockPaperScissors
from sim_core.parallel_env import GameEnv, parallel_env


def test_the_arena_passes_the_api_test() -> None:
    parallel_api_test(parallel_env(), num_cycles=300)


def test_the_arena_passes_the_seed_test() -> None:
    parallel_seed_test(parallel_env, num_cycles=100)


@pytest.mark.filterwarnings("ignore::sim_core.legacy_rps.game.LegacyGameWarning")
def test_rock_paper_scissors_passes_the_api_test() -> None:
    parallel_api_test(GameEnv(RockPaperScissors()), num_cycles=100)


def test_each_reset_without_a_seed_is_another_ground() -> None:
    env = parallel_env()
    first, _ = env.reset(seed=4)
    second, _ = env.reset()
    again, _ = env.reset(seed=4)

    assert np.array_equal(first["team0_1"], again["team0_1"])
    assert not all(np.array_equal(first[name], second[name]) for name in first)


def test_rewards_of_the_two_teams_cancel() -> None:
    env = parallel_env()
    env.reset(seed=1)
    rng = np.random.default_rng(1)
    while env.agents:
        _, rewards, _, _, _ = env.step({name: int(rng.integers(8)) for name in env.agents})
        ours = {reward for name, reward in rewards.items() if name.startswith("team0")}
        theirs = {-reward for name, reward in rewards.items() if name.startswith("team1")}
        assert len(ours) <= 1
        assert not (ours and theirs) or ours == theirs


def test_rock_paper_scissors_says_that_it_is_legacy() -> None:
    with pytest.warns(LegacyGameWarning, match="use the arena"):
        RockPaperScissors()
