"""Both listeners over models in memory, with shared memory switched on. No test may leave anything open."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import numpy as np
import pytest
from structlog.testing import capture_logs

from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.service import SharedMemory
from onnxd.tensors import Datatype
from tests.contract.shared_memory.listeners import Stand
from tests.contract.shared_memory.wire import WIRES, Wire
from tests.support.grpc_server import grpc_server
from tests.support.http_server import http_server
from tests.support.quiet import errors_logged
from tests.support.segments import Segment, open_segments, segment
from tests.support.serving import HoldingRunner, identity_spec, served_version, serving, tensor


@pytest.fixture
def config() -> SharedMemoryConfig:
    """For a module to override."""
    return SharedMemoryConfig(enabled=True, max_regions=32)


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is an error in a log."""
    with capture_logs() as events:
        yield
    assert [event for event in events if event["log_level"] in ("error", "critical")] == []
    assert errors_logged(caplog) == []


@pytest.fixture
async def stand(config: SharedMemoryConfig, quiet: None) -> AsyncIterator[Stand]:
    """`identity` and `held`: x[4] in rows; `pair`: x[n] and x1[n]; `text`: BYTES of any length."""
    held = identity_spec("held")
    holding = HoldingRunner(held)
    async with AsyncExitStack() as resources:
        shared_memory = resources.enter_context(SharedMemory(config))
        models = serving(
            served_version(identity_spec()),
            served_version(held, holding),
            served_version(
                identity_spec("pair", inputs=(tensor("x", -1), tensor("x1", -1)), max_batch_size=0)
            ),
            served_version(
                identity_spec("text", inputs=(tensor("x", -1, datatype=Datatype.BYTES),), max_batch_size=0)
            ),
            shared_memory=shared_memory,
        )
        http = await resources.enter_async_context(http_server(models))
        grpc = await resources.enter_async_context(grpc_server(models))
        stand = Stand(http, grpc, models, holding)
        yield stand
        await stand.assert_well()
    assert open_segments() == 0


@pytest.fixture(params=WIRES)
async def wire(request: pytest.FixtureRequest, stand: Stand) -> AsyncIterator[Wire]:
    port = stand.http.port if request.param == "HTTP" else stand.grpc.frontend.port
    async with WIRES[request.param](port) as connected:
        yield connected


@pytest.fixture
def memory() -> Iterator[Segment]:
    """64 bytes: 1.0 to 4.0, and zeros."""
    with segment(64, np.arange(1, 5, dtype=np.float32).tobytes()) as made:
        yield made
