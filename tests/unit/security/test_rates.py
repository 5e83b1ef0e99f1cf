"""How much a caller may ask, in a time that the test makes."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxd.errors import RateLimited, Unavailable
from onnxd.messages import ANONYMOUS, Principal
from onnxd.security.rate_config import Allowance, RateConfig, RateFault, read_allowance
from onnxd.security.rates import NOTHING, Rates, network_of
from onnxd.security.token_bucket import Bucket, Buckets

ANN, BOB = Principal("ann"), Principal("bob")


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Scene:
    """Rates on a clock of the test's."""

    config: RateConfig
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rates = Rates(self.config, self.clock)

    def asks(self, who: Principal = ANN, peer: str = "10.0.0.1", model: str = "") -> bool:
        """Whether a request that is over at once is admitted."""
        try:
            with self.rates.hold(who, peer, model):
                return True
        except RateLimited:
            return False


def scene(**config: Any) -> Scene:
    return Scene(RateConfig(**config))


def test_a_burst_passes_and_then_one_each_interval() -> None:
    bucket = Bucket(10.0, 3)
    assert [bucket.take(0.0) for _ in range(3)] == [0.0] * 3
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.1) == 0.0
    assert bucket.take(0.1) == pytest.approx(0.1)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_no_window_has_more_than_the_burst_and_the_rate_and_the_wait_is_true(
    rate: float, burst: int, gaps: list[float]
) -> None:
    bucket = Bucket(rate, burst)
    now_s, taken = 50.0, []
    for gap in gaps:
        now_s += gap
        wait_s = bucket.take(now_s)
        if wait_s:
            assert bucket.take(now_s + wait_s * 0.999 - 1e-6) > 0 or wait_s < 1e-3
            now_s += wait_s * 1.000001 + 1e-8
            assert bucket.take(now_s) == 0.0
        taken.append(now_s)
    for first, begin_s in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - begin_s) * rate * 1.0001 + 1e-6


def test_buckets_are_as_many_as_may_be() -> None:
    buckets = Buckets(1.0, 1, at_most=100)
    assert all(buckets.take(str(name), 0.0) == 0.0 for name in range(1000))
    assert len(buckets) == 100
    assert buckets.take("999", 0.0) > 0


def test_without_limits_nothing_is_held_and_nobody_remembered() -> None:
    free = scene()
    assert not free.rates.on
    assert free.rates.hold(ANN, "") is NOTHING
    assert free.rates.tracked == 0


def test_a_caller_over_its_rate_is_told_when_its_next_request_will_pass() -> None:
    limited = scene(per_second=2.0, burst=1)
    assert limited.asks()
    with pytest.raises(RateLimited, match=r"'ann' has asked more often .* in 0\.5 s") as refused:
        limited.rates.hold(ANN, "")
    limited.clock.now_s += (refused.value.retry_after_s or 0) - 0.001
    assert not limited.asks()
    limited.clock.now_s += 0.001
    assert limited.asks()


def test_what_is_refused_costs_nothing() -> None:
    limited = scene(per_second=1.0, burst=1)
    assert [limited.asks() for _ in range(50)].count(True) == 1
    limited.clock.now_s += 1.0
    assert limited.asks()


def test_callers_do_not_share_and_addresses_without_a_credential_are_callers() -> None:
    limited = scene(per_second=1.0, burst=1)
    assert limited.asks(ANN, "10.0.0.1")
    assert not limited.asks(ANN, "10.0.0.2")
    assert limited.asks(BOB, "10.0.0.1")
    assert limited.asks(ANONYMOUS, "10.0.0.1")
    assert not limited.asks(ANONYMOUS, "10.0.0.1")
    assert limited.asks(ANONYMOUS, "10.0.0.2")


def test_a_principal_that_is_called_as_an_address_is_not_that_address() -> None:
    limited = scene(per_second=1.0, burst=1)
    assert limited.asks(Principal("10.0.0.1"), "10.0.0.9")
    assert limited.asks(ANONYMOUS, "10.0.0.1")


def test_without_a_burst_the_requests_of_a_second_may_come_at_once() -> None:
    assert [scene(per_second=3.0).asks() for _ in range(1)] == [True]
    limited = scene(per_second=3.9)
    assert [limited.asks() for _ in range(5)] == [True] * 3 + [False] * 2
    slow = scene(per_second=0.1)
    assert [slow.asks() for _ in range(2)] == [True, False]


def test_requests_in_progress_are_capped_and_one_that_ends_makes_room() -> None:
    limited = scene(max_in_flight=2)
    first, second = limited.rates.hold(ANN, ""), limited.rates.hold(ANN, "")
    first.__enter__()
    second.__enter__()
    with pytest.raises(RateLimited, match="2 requests in progress") as refused:
        limited.rates.hold(ANN, "")
    assert refused.value.retry_after_s == 1.0
    assert limited.asks(BOB)
    limited.clock.now_s += 8.0
    first.__exit__(None, None, None)
    assert limited.asks()
    with limited.rates.hold(ANN, ""), pytest.raises(RateLimited) as again:
        limited.rates.hold(ANN, "")
    assert again.value.retry_after_s == pytest.approx(8.0 * 0.8 / 2)  # from how long its requests took


def test_an_error_gives_the_share_back() -> None:
    limited = scene(max_in_flight=1)
    with pytest.raises(KeyError), limited.rates.hold(ANN, ""):
        raise KeyError
    assert limited.asks()


def test_a_principal_can_have_numbers_of_its_own() -> None:
    limited = scene(per_second=1.0, burst=1, principals={"bob": "burst:3", "root": "per_second:0"})
    assert [limited.asks(BOB) for _ in range(4)] == [True] * 3 + [False]
    assert all(limited.asks(Principal("root")) for _ in range(100))
    assert [limited.asks(ANN) for _ in range(2)] == [True, False]


def test_a_limit_of_one_principal_alone_is_no_limit_of_others() -> None:
    limited = scene(principals={"bob": "max_in_flight:1"})
    assert limited.rates.on
    assert all(limited.asks(ANN) for _ in range(10))
    assert limited.rates.tracked == 0


@pytest.mark.parametrize(
    "text", ["", "fast", "per_second", "per_second:-1", "burst:1.5", "burst:x", "per_second:inf"]
)
def test_a_share_that_says_nothing_is_refused_by_name(text: str) -> None:
    with pytest.raises(RateFault, match=r"rate\.principals of 'bob': expected words such as per_second:50"):
        read_allowance("bob", text, Allowance())


def test_a_model_is_capped_whoever_asks() -> None:
    limited = scene(models={"big": 1})
    with limited.rates.hold(ANN, "", "big"):
        with pytest.raises(Unavailable, match=r"model 'big' has 1 requests in progress.*rate\.models"):
            limited.rates.hold(BOB, "", "big")
        assert limited.asks(BOB, model="small")
    assert limited.asks(BOB, model="big")


def test_a_model_that_is_known_later_is_held_with_the_rest() -> None:
    limited = scene(models={"*": 1, "free": 0})
    with limited.rates.hold(ANN, "") as held:
        held.model("m")
        with limited.rates.hold(BOB, "") as other, pytest.raises(Unavailable):
            other.model("m")
        with limited.rates.hold(BOB, "") as other:
            other.model("n")
            other.model("free")
    with limited.rates.hold(BOB, "") as other:
        other.model("m")


def test_a_model_that_is_full_costs_its_caller_nothing() -> None:
    limited = scene(per_second=1.0, burst=2, models={"big": 1})
    with limited.rates.hold(ANN, "", "big"):
        for _ in range(5):
            with pytest.raises(Unavailable):
                limited.rates.hold(ANN, "", "big")
        assert limited.asks()


def test_callers_and_models_that_nobody_has_heard_of_do_not_fill_the_memory() -> None:
    limited = scene(per_second=1.0, max_in_flight=1, models={"*": 5}, max_tracked=50)
    for number in range(500):
        limited.asks(ANONYMOUS, f"10.0.{number // 250}.{number % 250}", f"m{number}")
        limited.asks(Principal(f"p{number}"), "", f"n{number}")
    assert limited.rates.tracked == 100


def test_a_flood_of_addresses_does_not_make_a_principal_forgotten() -> None:
    limited = scene(per_second=0.001, max_tracked=10)
    assert limited.asks(ANN)
    for number in range(100):
        limited.asks(ANONYMOUS, str(number))
    assert not limited.asks(ANN)


def test_who_has_requests_in_progress_is_not_forgotten() -> None:
    limited = scene(max_in_flight=1, max_tracked=3)
    with limited.rates.hold(ANN, ""):
        for number in range(100):
            limited.asks(Principal(str(number)))
        assert not limited.asks(ANN)
    assert limited.rates.tracked == 3


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_host_cannot_have_as_many_shares_as_addresses(address: str, counts_as: str) -> None:
    assert network_of(address) == counts_as


@pytest.mark.parametrize(
    ("allowance", "quota"),
    [
        (Allowance(per_second=50, burst=100), (100, 2)),
        (Allowance(per_second=50), (50, 1)),
        (Allowance(per_second=4, burst=1), (4, 1)),
        (Allowance(per_second=0.01, burst=2), (2, 200)),
        (Allowance(per_second=0.3, burst=1), (1, 4)),
    ],
)
def test_a_rate_is_told_in_whole_requests_and_seconds(allowance: Allowance, quota: tuple[int, int]) -> None:
    assert allowance.quota == quota


@given(
    per_second=st.floats(0.01, 1000),
    burst=st.integers(1, 50),
    waits_s=st.lists(st.floats(0, 100), max_size=60),
)
def test_as_many_are_left_as_can_be_taken(per_second: float, burst: int, waits_s: list[float]) -> None:
    bucket, now_s = Bucket(per_second, burst), 1000.0
    assert bucket.left(now_s) == burst
    for wait_s in waits_s:
        now_s += wait_s
        bucket.take(now_s)
    left = bucket.left(now_s)
    assert 0 <= left <= burst
    assert [bucket.take(now_s) for _ in range(left)] == [0.0] * left
    assert bucket.take(now_s) > 0 or bucket.left(now_s) == 0
    assert bucket.left(now_s + bucket.full_in_s(now_s)) == burst
