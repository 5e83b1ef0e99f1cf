"""A real server on a free port over models in memory, which is well after every test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace

import pytest
import uvloop
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


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the server runs on, whose transports are not asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def way() -> str:
    """Which way inference requests take; modules of which each test is about both have BOTH_WAYS."""
    return "lane"


@pytest.fixture
async def stand(way: str) -> Serving:
    """`identity`: x[4] in rows of up to 8. `wide`: one tensor of any length, without rows."""
    stand = serving(
        served_version(identity_spec()),
        served_version(identity_spec("wide", inputs=(tensor("x", -1),), max_batch_size=0)),
    )
    return replace(stand, lane=way == "lane")


@pytest.fixture
async def server(stand: Serving, quiet: None) -> AsyncIterator[HttpServer]:
    """With the default bounds."""
    async with http_server(stand) as running:
        yield running
        await running.assert_well()
