"""Which requests are traced when clients change the settings."""

import pytest

from onnxd.errors import InvalidRequest
from onnxd.telemetry.trace_settings import TraceChange, TraceSettings, TraceView


def started(share: float = 1.0) -> TraceSettings:
    """Of a server that has a collector."""
    return TraceSettings(share, {"url": "http://collector"})


def admitted(settings: TraceSettings, requests: int, model: str = "m") -> int:
    return sum(settings.admits(model, forced=False) for _ in range(requests))


def test_every_request_is_traced_at_first() -> None:
    settings = started()
    assert settings.on
    assert settings.view() == TraceView(on=True, rate=1, count=-1)
    assert admitted(settings, 10) == 10


@pytest.mark.parametrize(("share", "rate"), [(1.0, 1), (0.5, 2), (0.3, 3), (0.9, 2), (0.001, 1000), (0.0, 0)])
def test_the_share_of_the_start_is_shown_as_the_nearest_rate(share: float, rate: int) -> None:
    assert started(share).view().rate == rate


def test_a_share_of_none_traces_only_what_callers_trace() -> None:
    settings = started(0.0)
    assert admitted(settings, 10) == 0
    assert settings.admits("m", forced=True)


def test_one_request_in_so_many_is_traced_the_first_after_that_many() -> None:
    settings = started()
    settings.update({"rate": 3})
    assert [settings.admits("m", forced=False) for _ in range(7)] == [False, False, True] * 2 + [False]


def test_a_rate_of_zero_traces_only_what_callers_trace() -> None:
    settings = started()
    settings.update({"rate": 0})
    assert admitted(settings, 10) == 0
    assert settings.admits("m", forced=True)


def test_after_so_many_traces_there_are_no_more() -> None:
    settings = started()
    settings.update({"count": 3})
    assert admitted(settings, 2) == 2
    assert settings.view().count == 1
    assert admitted(settings, 10) == 1
    assert settings.view().count == 0


def test_only_requests_whose_turn_it_is_use_up_the_count() -> None:
    settings = started()
    settings.update({"rate": 4, "count": 2})
    assert admitted(settings, 7) == 1
    assert settings.view().count == 1
    assert admitted(settings, 100) == 1


def test_a_callers_trace_goes_before_rate_and_count_and_uses_up_neither() -> None:
    settings = started()
    settings.update({"rate": 2, "count": 1})
    assert all(settings.admits("m", forced=True) for _ in range(5))
    assert settings.view().count == 1
    assert [settings.admits("m", forced=False) for _ in range(3)] == [False, True, False]


def test_off_goes_before_everything() -> None:
    settings = started()
    settings.update({"on": False})
    assert not settings.on
    assert not settings.admits("m", forced=True)
    assert admitted(settings, 10) == 0


def test_a_model_of_its_own_can_be_off_or_on() -> None:
    settings = started()
    settings.update({"on": False}, "quiet")
    assert (admitted(settings, 2, "quiet"), admitted(settings, 2, "other")) == (0, 2)
    settings.update({"on": False})
    settings.update({"on": True}, "watched")
    assert settings.on
    assert (admitted(settings, 2, "watched"), admitted(settings, 2, "other")) == (2, 0)


def test_a_model_follows_the_others_in_what_it_has_not_set_itself() -> None:
    settings = started()
    settings.update({"count": 5}, "m")
    settings.update({"rate": 2})
    assert settings.view("m") == TraceView(on=True, rate=2, count=5)
    assert settings.view() == TraceView(on=True, rate=2, count=-1)


def test_models_without_a_count_of_their_own_share_the_count_of_all() -> None:
    settings = started()
    settings.update({"count": 3})
    settings.update({"rate": 1}, "a")
    assert admitted(settings, 2, "a") + admitted(settings, 5, "b") == 3
    assert settings.view("a").count == 0


def test_a_models_own_count_is_not_used_up_by_others() -> None:
    settings = started()
    settings.update({"count": 1}, "a")
    assert admitted(settings, 5, "b") == 5
    assert admitted(settings, 5, "a") == 1


def test_clearing_brings_back_the_value_below() -> None:
    settings = started(0.5)
    settings.update({"rate": 7, "on": False, "count": 9})
    settings.update({"rate": 8, "on": True, "count": 1}, "m")
    settings.update({"rate": None, "on": None, "count": None}, "m")
    assert settings.view("m") == TraceView(on=False, rate=7, count=9)
    settings.update({"rate": None, "on": None, "count": None})
    assert settings.view("m") == settings.view() == TraceView(on=True, rate=2, count=-1)
    assert settings.on


def test_what_an_update_does_not_mention_goes_on_counting() -> None:
    settings = started()
    settings.update({"rate": 3, "count": 5})
    admitted(settings, 5)
    settings.update({"on": True})
    settings.update({"on": True}, "another")
    assert settings.admits("m", forced=False)
    assert settings.view().count == 3


@pytest.mark.parametrize("change", [{"on": True}, {"rate": 5}, {"count": 5}])
@pytest.mark.parametrize("model", ["", "m"])
def test_without_a_collector_nothing_can_be_switched_on(change: TraceChange, model: str) -> None:
    settings = TraceSettings()
    with pytest.raises(InvalidRequest, match=r"tracing\.endpoint"):
        settings.update(change, model)
    assert not settings.on
    assert settings.view(model) == TraceView(on=False, rate=1, count=-1)


def test_without_a_collector_what_was_read_can_be_written_back() -> None:
    settings = TraceSettings()
    settings.update({"on": False, "rate": 1, "count": -1})
    settings.update({"on": None, "rate": None, "count": None}, "m")
    assert not settings.on
    assert not settings.admits("m", forced=True)
