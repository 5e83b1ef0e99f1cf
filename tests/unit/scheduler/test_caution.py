"""How much longer than predicted an answer is taken to need, after requests that were let in in vain."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.scheduler.caution import LEAST, MOST, Caution


@given(missed=st.lists(st.booleans()))
def test_it_keeps_within_its_bounds(missed: list[bool]) -> None:
    caution = Caution()
    for each in missed:
        caution.missed() if each else caution.let_in()
        assert LEAST <= caution.factor <= MOST


def test_a_miss_counts_for_more_than_one_that_was_let_in() -> None:
    caution = Caution()
    caution.missed()
    caution.let_in()
    assert caution.factor > LEAST


def test_it_forgets_misses_that_do_not_come_again() -> None:
    caution = Caution()
    caution.missed()
    for _ in range(1000):
        caution.let_in()
    assert caution.factor == LEAST


@pytest.mark.parametrize("needed", [1.3, 1.7])
def test_it_settles_where_few_are_let_in_in_vain(needed: float) -> None:
    """A model whose answers take up to `needed` times what is predicted."""
    caution, chance, missed = Caution(), random.Random(1), 0
    for number in range(20_000):
        caution.let_in()
        if chance.uniform(needed - 0.1, needed) > caution.factor:
            caution.missed()
            missed += number >= 2_000
    assert missed / 18_000 < 0.01
    assert caution.factor == pytest.approx(needed, abs=0.05)
