"""grpc.health.v1: Check, and Watch that every watcher hears.

The servicer of grpcio-health-checking 1.81 forgets a service's condition when any one of its watchers
leaves, so the others never learn that the server drains; hence these few lines of our own over its messages.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from onnxd.errors import MalformedPayload, NotFound, ServerDraining
from onnxd.grpc_frontend.boundary import stream_handler, unary_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.context import EOF
from onnxd.grpc_frontend.transport import Handlers
from onnxd.protocol.proto_wire import parse
from onnxd.protocol.wording import show
from onnxd_protos.services import Method

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
_LOOK_AGAIN_S: Final = 1.0


class Health:
    """The status of the server as a whole (service "") and of each service by name."""

    def __init__(self, services: Iterable[str], *, complete: Callable[[], bool] = lambda: True) -> None:
        """`complete`: whether nothing is missing that should serve; asked at each check, and every second for
        those who watch."""
        self._complete = complete
        self._known = frozenset({"", *services})
        self._serving = False
        self._closed = False
        self._changed = asyncio.Condition()

    def handlers(self, running: InProgress) -> Handlers:
        """What answers for the service."""
        check, watch = _method("Check"), _method("Watch")
        return {
            check.path: unary_handler(check, self.check, running),
            watch.path: stream_handler(watch, self.watch, running),
        }

    async def set(self, *, serving: bool) -> None:
        """Change the status and tell every watcher."""
        async with self._changed:
            self._serving = serving
            self._changed.notify_all()

    async def close(self) -> None:
        """Not serving; and each watcher hears that, and its call ends: it would hold up the drain."""
        self._closed = True
        await self.set(serving=False)

    async def check(self, request: HealthCheckRequest, _: Call) -> HealthCheckResponse:
        """The status now. Raises NotFound for a service that is not ours."""
        if request.service not in self._known:
            raise NotFound(f"unknown service {show(request.service)}")
        return HealthCheckResponse(status=self._status(request.service))

    async def watch(self, call: Call) -> None:
        """Send the status now and at each change, until the caller goes or the server stops."""
        data = await call.context.read()
        if data is EOF:
            raise MalformedPayload("expected a grpc.health.v1.HealthCheckRequest message, got none")
        service = parse(HealthCheckRequest, data).service
        sent: int | None = None
        while True:
            # Written outside the lock: a watcher that does not read holds up nobody else.
            async with self._changed:
                while self._status(service) == sent and not self._closed:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_AGAIN_S):
                            await self._changed.wait()
            status = self._status(service)
            if status == sent:
                raise ServerDraining("the server is shutting down", retry_after_s=1.0)
            sent = status
            await call.context.write(HealthCheckResponse(status=status).SerializeToString())

    def _status(self, service: str) -> int:
        if service not in self._known:
            return HealthCheckResponse.SERVICE_UNKNOWN
        serving = self._serving and self._complete()
        return HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING


def _method(name: str) -> Method:
    return Method(
        path=f"/{HEALTH_SERVICE}/{name}",
        request=HealthCheckRequest,
        response=HealthCheckResponse,
        client_streaming=False,
        server_streaming=name == "Watch",
    )
