from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.unit.client.colours import Run, awaiting, blocking
from tests.unit.client.servers import GrpcServer, HttpServer, grpc_server, http_server


@pytest.fixture(params=[blocking, awaiting], ids=["blocking", "awaiting"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


Server = Callable[[], AbstractContextManager[HttpServer | GrpcServer]]


@pytest.fixture(params=[http_server, grpc_server], ids=["http", "grpc"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of an echo server."""
    start: Server = request.param
    with start() as server:
        yield server.url
