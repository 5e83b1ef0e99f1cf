"""Short forms of the soaks (S5, S8, S9, S10, S20): what is wrong by a count. Figures are the benchmark's."""

from pathlib import Path

import pytest

from benchmarks.soak import cancels, overload, refusals, rotation, slow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BETWEEN_S = 0.02


async def test_S5_clients_that_leave_leave_nothing_behind(tmp_path: Path) -> None:
    verdict = await cancels.run(tmp_path, requests=2000, seconds=60, between_s=BETWEEN_S)
    assert verdict.failures == []


async def test_S8_at_three_times_the_capacity_the_light_caller_has_all_its_answers(tmp_path: Path) -> None:
    # Deadlines that a busy machine keeps too: here it is counted, not measured.
    verdict = await overload.run(tmp_path, seconds=4, runs=60, layers=60)
    assert verdict.failures == []


async def test_S9_every_refusal_again_and_again(tmp_path: Path) -> None:
    verdict = await refusals.run(tmp_path, count=10, seconds=100, between_s=BETWEEN_S)
    assert verdict.failures == []


async def test_S10_slow_clients_go_and_others_do_not_notice(tmp_path: Path) -> None:
    verdict = await slow.run(tmp_path, heads=50, bodies=20, readers=3, seconds=5, between_s=BETWEEN_S)
    assert verdict.failures == []


async def test_S20_credentials_change_and_nobody_is_turned_away(tmp_path: Path) -> None:
    verdict = await rotation.run(tmp_path, rotations=1, every_s=7)
    assert verdict.failures == []
