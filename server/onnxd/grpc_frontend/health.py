"""grpc.health.v1: Check, and Watch that every watcher hears.

The servicer of grpcio-health-checking 1.81 forgets a service's condition when any one of its watchers
leaves, so the others never learn that the server drains; hence these few lines of our own over its messages.
"""

import asyncio
from collections.abc import Iterable

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

Context = ServicerContext[HealthCheckRequest, HealthCheckResponse]


class Health(HealthServicer):
    """The status of the server as a whole (service "") and of each service by name."""

    def __init__(self, services: Iterable[str]) -> None:
        self._known = frozenset({"", *services})
        self._serving = False
        self._changed = asyncio.Condition()

    async def set(self, *, serving: bool) -> None:
        """Change the status and tell every watcher."""
        async with self._changed:
            self._serving = serving
            self._changed.notify_all()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        if request.service not in self._known:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service '{request.service}'")
        return HealthCheckResponse(status=self._status(request.service))

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        """Send the status now and at each change, until the caller goes."""
        sent: int | None = None
        while True:
            # Written outside the lock: a watcher that does not read holds up nobody else.
            async with self._changed:
                await self._changed.wait_for(lambda: self._status(request.service) != sent)  # noqa: B023
            sent = self._status(request.service)
            await context.write(HealthCheckResponse(status=sent))

    def _status(self, service: str) -> int:
        if service not in self._known:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING
