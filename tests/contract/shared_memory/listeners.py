"""The two listeners that the tests of this folder call."""

from dataclasses import dataclass

from tests.support.grpc_server import GrpcServer
from tests.support.http_server import HttpServer
from tests.support.serving import HoldingRunner, Serving


@dataclass(frozen=True, slots=True)
class Stand:
    """The two listeners and what is under them."""

    http: HttpServer
    grpc: GrpcServer
    serving: Serving
    holding: HoldingRunner
    """Runs the model `held`: its runs end when the test says so."""

    async def assert_well(self) -> None:
        await self.http.assert_well()
        await self.grpc.calls.assert_well()
        assert self.serving.inference.in_flight == 0
        assert self.grpc.leases() == 0
