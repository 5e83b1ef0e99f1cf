"""Two servers: the front end over models in memory for each test, and a whole one, real files and runs and
all, for the session."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from onnxd.settings.server_settings import SimpleConfig
from onnxd.tensors import Datatype
from tests.contract.grpc.models import publish_all
from tests.support.grpc_server import GrpcCalls, GrpcServer, grpc_calls, grpc_server
from tests.support.grpc_transports import DEFAULT, TRANSPORTS, Transport, over
from tests.support.quiet import errors_logged, forget_loggers
from tests.support.server import RunningServer, running_server
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version, serving, tensor


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """For the modules that say so: their tests run on each of them."""
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
    """`identity`: x[4] in rows of up to 8; `pair`: two of them; `text`: BYTES of any length, without rows;
    `flags`: BOOL likewise; `scalar`: FP32 []; `held`: rows of up to 2, and its runs end when told to."""
    return serving(
        served_version(identity_spec()),
        served_version(identity_spec("pair", inputs=(tensor("a", 4), tensor("b", 4)))),
        served_version(
            identity_spec("text", inputs=(tensor("x", -1, datatype=Datatype.BYTES),), max_batch_size=0)
        ),
        served_version(
            identity_spec("flags", inputs=(tensor("x", -1, datatype=Datatype.BOOL),), max_batch_size=0)
        ),
        served_version(identity_spec("wide", inputs=(tensor("x", -1),), max_batch_size=0)),
        served_version(identity_spec("scalar", inputs=(tensor("x"),), max_batch_size=0)),
        served_version(identity_spec("held", max_batch_size=2), holding),
    )


@pytest.fixture
async def server(stand: Serving, quiet: None) -> AsyncIterator[GrpcServer]:
    """With the default bounds; it is well after the test, and nothing is held."""
    async with grpc_server(stand) as running:
        yield running
        await running.calls.assert_well()
        assert stand.inference.in_flight == 0
        assert running.leases() == 0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    """Serves what models.py publishes; a module may ask for both transports."""
    directory = tmp_path_factory.mktemp("grpc")
    publish_all(directory / "models")
    simple = SimpleConfig(model="mean")
    with over(getattr(request, "param", DEFAULT)):
        async with running_server(directory / "models", directory / "state", simple=simple) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def calls(whole: RunningServer) -> AsyncIterator[GrpcCalls]:
    """Of the whole server, on a connection of their own."""
    async with grpc_calls(whole.grpc) as calls:
        yield calls
