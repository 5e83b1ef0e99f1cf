"""docs/limits.md has every limit there is, with its default, and every limit is tried on both sides."""

import re
from typing import Final

import pytest

from onnxd.settings.table import settings_by_path
from onnxd.settings.written import UNSET, written
from tests.support.server import ROOT

SETTINGS: Final = {setting.name: setting for setting in settings_by_path().values()}
ROW: Final = re.compile(r"^\| ([^|]+) \| (`[^|]*|) ?\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS: Final = [
    (cells[1].strip().strip("`"), cells[2])
    for cells in ROW.findall((ROOT / "docs/limits.md").read_text())
    if cells[0] != "what"
]
BY_SETTING: Final = {name: default for name, default in ROWS if name in SETTINGS}

NOT_LIMITS: Final = {
    "grpc.keepalive_without_calls": "which connections are probed",
}

BOUNDS: Final = "tests/contract/test_limits.py"
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "http.max_body": (
        "tests/contract/http/test_bodies.py",
        "test_a_body_of_just_the_limit_is_taken",
        "test_a_body_over_the_limit_is_refused_before_it_is_sent",
        "A24-one-over",
    ),
    "grpc.max_message": (
        "tests/unit/grpc_frontend/test_transport_settings.py",
        "test_a_message_is_taken_up_to_its_bound",
    ),
    "grpc.max_metadata": (
        "tests/unit/grpc_frontend/test_transport_settings.py",
        "test_metadata_is_taken_up_to_its_bound",
    ),
    "http.max_chunks": ("tests/contract/http/test_bodies.py", "test_A12_as_many_chunks_as_allowed"),
    "limits.max_override_bytes": (
        "tests/contract/overrides/test_refusals.py",
        "test_H10_files_larger_than_allowed",
    ),
    "limits.max_json_bytes": (BOUNDS, '"limits.max_json_bytes"'),
    "limits.max_json_depth": (BOUNDS, "test_json_is_taken_up_to_its_depth"),
    "limits.max_inputs": (BOUNDS, '"limits.max_inputs"'),
    "limits.max_outputs": (BOUNDS, '"limits.max_outputs"'),
    "limits.max_parameters": (BOUNDS, '"limits.max_parameters"'),
    "limits.max_rank": (BOUNDS, '"limits.max_rank"'),
    "limits.max_bytes_elements": (BOUNDS, '"limits.max_bytes_elements"'),
    "limits.max_id_bytes": (BOUNDS, '"limits.max_id_bytes"'),
    "http.max_connections": ("tests/contract/http/test_stopping.py", "test_a_connection_too_many_is_told_so"),
    "http.max_connections_per_address": (BOUNDS, "test_an_address_has_no_more_connections_than_it_may"),
    "grpc.max_concurrent_streams": (
        "tests/unit/grpc_frontend/test_transport_settings.py",
        "test_a_connection_has_no_more_calls_in_progress_than_it_may",
    ),
    "grpc.max_connections": ("tests/unit/grpc_native/test_settings.py", '"max_connections"'),
    "grpc.max_connections_per_address": (
        "tests/unit/grpc_native/test_settings.py",
        '"max_connections_per_address"',
    ),
    "grpc.max_stream_in_flight": ("tests/unit/grpc_frontend/test_streams.py", "max_stream_in_flight=3"),
    "inference.max_in_flight": (
        "tests/contract/http/test_infer.py",
        "test_too_many_requests_at_once_are_unavailable",
    ),
    "inference.max_in_flight_bytes": (
        "tests/contract/test_memory_pressure.py",
        "test_E15_as_many_bodies_as_fit_are_answered_and_the_others_told_to_come_back",
    ),
    "rate.max_in_flight": ("tests/contract/test_rates.py", "test_requests_in_progress_are_capped"),
    "rate.per_second": ("tests/contract/test_rates.py", "test_over_its_rate_a_caller"),
    "rate.burst": ("tests/unit/security/test_rates.py", "test_a_burst_passes"),
    "rate.models": ("tests/contract/test_rates.py", "test_a_full_model_is_unavailable"),
    "rate.max_tracked": ("tests/unit/security/test_rates.py", "do_not_fill_the_memory"),
    "auth.failures_per_minute": ("tests/contract/test_gate.py", "an_address_that_guesses"),
    "shared_memory.max_regions": ("tests/contract/shared_memory/test_bad_regions.py", "test_F6_"),
    "shared_memory.max_region": ("tests/unit/shared_memory/test_regions.py", "test_a_region_over_the_limit"),
    "shared_memory.max_in_flight": ("tests/contract/shared_memory/test_bad_places.py", "max_in_flight=32"),
    "max_brought_models": ("tests/contract/overrides/test_many.py", "test_no_more_models_are_brought"),
}
"""Where each limit of a number is tried, and by which tests (or what they are told by)."""


def is_limit(name: str) -> bool:
    """By its name: what bounds clients, and not what they are told of."""
    part, _, key = name.rpartition(".")
    if part in ("limits", "rate"):
        return key != "principals"
    if name in NOT_LIMITS:
        return False
    if part in ("http", "grpc") and ("timeout" in key or "keepalive" in key):
        return True
    return key.startswith("max_") and part in ("", "http", "grpc", "inference", "shared_memory")


def test_every_limit_is_on_the_page() -> None:
    assert {name for name in SETTINGS if is_limit(name)} - set(BY_SETTING) == set()


def test_whatever_looks_like_a_setting_on_the_page_is_one() -> None:
    assert {name for name, _ in ROWS if name and " in its config" not in name} - set(SETTINGS) == set()


@pytest.mark.parametrize("name", BY_SETTING)
def test_the_default_on_the_page_is_the_default(name: str) -> None:
    setting = SETTINGS[name]
    default = UNSET if setting.default is None else written(setting, setting.default)
    assert BY_SETTING[name].split()[0] == f"`{default}`"


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_a_limit_are_there(name: str) -> None:
    path, *told_by = TESTS[name]
    text = (ROOT / path).read_text()
    assert [part for part in told_by if part not in text] == []


def test_every_limit_of_a_number_names_its_tests() -> None:
    numbers = {name for name in BY_SETTING if name.rpartition(".")[2].startswith(("max_", "per_second"))}
    of_time = {"grpc.max_connection_age", "grpc.max_connection_age_grace"}
    assert numbers - of_time - set(TESTS) == set()
