"""What holds for every test: no telemetry, no clock in a verdict, and no skipped test in CI."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# How long an example takes says more of the machine's other work than of the test.
settings.register_profile("onnxd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("onnxd")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, or one process still runs them when the others have nothing left to do."""
    items.sort(key=lambda item: "lifecycle" not in item.path.parts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything that a test needs is there, so one that skips has failed."""
    report = yield
    # What a test has captured may hold lone surrogates, which cannot go from one worker to another.
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report
