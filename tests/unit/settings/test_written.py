"""How values are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.settings.table import settings_by_path
from onnxd.settings.written import as_words, shown, written
from onnxd.units import bytes_of, duration, parse_duration_s, parse_size_bytes

SETTINGS = settings_by_path()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "500ms"),
        (60.0, "1m"),
        (90.0, "90s"),
        (7200.0, "2h"),
        (1e-6, "1us"),
        (1.5, "1500ms"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.integers(0, 10**10))
def test_a_duration_reads_back_as_what_it_was(microseconds: int) -> None:
    seconds = microseconds / 1e6

    assert parse_duration_s(duration(seconds)) == pytest.approx(seconds, rel=1e-9)


@given(st.integers(-1, 2**50))
def test_a_size_reads_back_as_what_it_was(size: int) -> None:
    text = bytes_of(size)

    assert parse_size_bytes(text if text != "0" else 0) == size


def test_text_is_quoted_only_where_yaml_would_read_something_else() -> None:
    host = SETTINGS["host",]

    assert written(host, "localhost") == "localhost"
    assert written(host, "127.0.0.1") == '"127.0.0.1"'
    assert written(host, "no") == '"no"'
    assert written(host, "") == '""'
    assert as_words(host, "127.0.0.1") == "127.0.0.1"


def test_lists_are_written_with_commas_on_the_command_line() -> None:
    assert as_words(SETTINGS["load_model",], ("a", "b")) == "a,b"
    assert written(SETTINGS["load_model",], ("a", "b")) == "[a, b]"


def test_a_secret_is_hidden_but_for_its_name() -> None:
    headers = SETTINGS["tracing", "headers"]

    assert shown(headers, {"x-key": "hunter2"}) == "x-key: (not shown)"
    assert shown(headers, {}) == "{}"


def test_what_is_not_set_says_so() -> None:
    assert shown(SETTINGS["tracing", "endpoint"], None) == "unset"
