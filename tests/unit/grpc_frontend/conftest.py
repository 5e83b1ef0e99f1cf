"""The front end on a free port over models in memory, which is well after every test."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.grpc_server import GrpcServer, grpc_server
from tests.support.grpc_transports import TRANSPORTS, Transport, over
from tests.support.quiet import errors_logged, forget_loggers
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version, serving


@pytest.fixture(params=TRANSPORTS, autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Every test of this folder runs on each of them."""
    with over(request.param) as chosen:
        yield chosen


@pytest.fixture
def own_logs() -> Iterator[list[EventDict]]:
    """What the server logs."""
    forget_loggers()
    with capture_logs() as events:
        yield events


@pytest.fixture
def quiet(own_logs: list[EventDict], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is an error in a log: not in ours, nor in grpc's or asyncio's."""
    yield
    assert [event for event in own_logs if event["log_level"] in ("error", "critical")] == []
    assert errors_logged(caplog) == []


@pytest.fixture
async def holding() -> HoldingRunner:
    """Runs the model `held`."""
    return HoldingRunner(identity_spec("held", max_batch_size=2))


@pytest.fixture
async def stand(holding: HoldingRunner) -> Serving:
    """`identity`: x[4] in rows of up to 8, `held`: up to 2, whose runs end when the test says so."""
    return serving(
        served_version(identity_spec()),
        served_version(identity_spec("held", max_batch_size=2), holding),
    )


@pytest.fixture
async def server(stand: Serving, quiet: None) -> AsyncIterator[GrpcServer]:
    async with grpc_server(stand) as running:
        yield running
        await running.calls.assert_well()
        assert running.stand.inference.in_flight == 0
        assert running.leases() == 0
