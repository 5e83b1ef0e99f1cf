"""What clients ask for in headers, and what they are told there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.messages import Timeline
from onnxd.telemetry.request_headers import asked, timing_headers, valid_request_id

US = 1000


@pytest.mark.parametrize("value", ["r-1", "0af7651916cd43dd", "a" * 128, "svc:7/x=1+2@host.example"])
def test_a_request_id_goes_back_as_it_is(value: str) -> None:
    assert asked([("x-request-id", value)]).request_id == value


@pytest.mark.parametrize(
    "value",
    ["", "a" * 129, "two words", "a\nb", "a\x1b[2J", "é", "\udcff", "a\r\nSet-Cookie: x", b"bytes", None],
)
def test_one_that_is_not_valid_counts_as_not_there(value: object) -> None:
    assert asked([("x-request-id", value), ("x-onnxd-timing", "1")]).request_id == ""


@given(st.text())
def test_what_is_accepted_is_printable_and_bounded(text: str) -> None:
    accepted = valid_request_id(text)
    assert accepted in ("", text)
    assert accepted.isascii()
    assert accepted.isprintable()
    assert len(accepted) <= 128


@pytest.mark.parametrize(
    ("value", "wanted"), [("1", True), ("true", True), ("0", False), ("yes", False), ("", False)]
)
def test_times_are_told_to_who_asks(value: str, wanted: bool) -> None:
    assert asked([("user-agent", "x"), ("x-onnxd-timing", value)]).timing is wanted


def test_the_times_are_of_the_queue_and_of_the_batch() -> None:
    timeline = Timeline(
        1, queue_start_ns=10 * US, compute_start_ns=35 * US, compute_end_ns=135 * US,
        batch_rows=8, batch_requests=3, cut="full",
    )  # fmt: skip
    assert timing_headers(timeline, "00-1-2-01") == [
        ("traceparent", "00-1-2-01"),
        ("x-onnxd-queue-us", "25"),
        ("x-onnxd-compute-us", "100"),
        ("x-onnxd-batch", "rows=8, requests=3, cut=full"),
    ]


def test_of_a_request_that_never_ran_there_is_nothing_to_tell() -> None:
    assert timing_headers(Timeline(1, queue_start_ns=2)) == []
