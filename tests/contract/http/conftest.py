"""A real server on a free port over models in memory, which is well after every test."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.http_server import HttpServer, http_server
from tests.support.quiet import errors_logged
from tests.support.serving import Serving, identity_spec, served_version, serving, tensor


@pytest.fixture
def own_logs() -> Iterator[list[EventDict]]:
    """What the server logs."""
    with capture_logs() as events:
        yield events


@pytest.fixture
def quiet(own_logs: list[EventDict], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is an error in a log: not in ours, nor in aiohttp's or asyncio's."""
    yield
    assert [event for event in own_logs if event["log_level"] in ("error", "critical")] == []
    assert errors_logged(caplog) == []


@pytest.fixture
async def stand() -> Serving:
    """`identity`: x[4] in rows of up to 8. `wide`: one tensor of any length, without rows."""
    return serving(
        served_version(identity_spec()),
        served_version(identity_spec("wide", inputs=(tensor("x", -1),), max_batch_size=0)),
    )


@pytest.fixture
async def server(stand: Serving, quiet: None) -> AsyncIterator[HttpServer]:
    """With the default bounds."""
    async with http_server(stand) as running:
        yield running
        await running.assert_well()
