"""The bytes of all requests in flight, and the bound on them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import Unavailable
from onnxd.scheduler.payloads import Payload, PayloadBound


def test_one_over_the_bound_is_refused_and_told_when_to_come_back() -> None:
    bound = PayloadBound(100)
    with bound.open() as first, bound.open() as second:
        first.grow(60)
        with pytest.raises(Unavailable, match="setting inference") as refused:
            second.grow(41)
        assert refused.value.retry_after_s
        assert bound.held_bytes == 60
        second.grow(40)
    assert bound.held_bytes == 0


def test_a_request_that_is_alone_always_fits() -> None:
    bound = PayloadBound(100)
    with bound.open() as payload:
        payload.grow(1000)
        payload.grow(1000)


def test_an_answer_counts_and_is_never_refused() -> None:
    bound = PayloadBound(100)
    with bound.open() as first, bound.open() as second:
        first.grow(10)
        first.add(1000)
        with pytest.raises(Unavailable):
            second.grow(1)


def test_without_a_bound_nothing_is_refused() -> None:
    bound = PayloadBound(-1)
    with bound.open() as first, bound.open() as second:
        first.grow(2**60)
        second.grow(2**60)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["grow", "release"]), st.integers(0, 60))),
    st.integers(0, 100),
)
def test_what_is_held_is_what_was_admitted_and_never_more_than_the_bound(
    steps: list[tuple[int, str, int]], limit: int
) -> None:
    bound = PayloadBound(limit)
    payloads: list[Payload] = [bound.open() for _ in range(5)]
    for which, what, size in steps:
        if what == "release":
            payloads[which].release()
            continue
        try:
            payloads[which].grow(size)
        except Unavailable:
            assert bound.held_bytes + size > limit
        else:
            alone = bound.held_bytes == payloads[which].size_bytes
            assert alone or bound.held_bytes <= limit
        assert bound.held_bytes == sum(payload.size_bytes for payload in payloads)
