"""Is it up, and may it be given work?"""

from dataclasses import dataclass

from aiohttp import web

from onnxd.errors import ServerDraining
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService


@dataclass(frozen=True, slots=True)
class HealthHandlers:
    """The probes. KServe's client reads the bodies; Triton's and orchestrators only the status."""

    inference: InferenceService

    async def live(self, _: Call) -> web.Response:
        return json_response({"live": True})

    async def started(self, _: Call) -> web.Response:
        """503 until the repository's first load is over; then 200, whatever came of it and until the end."""
        if not self.inference.started:
            waits = self.inference.awaited() or "the first load is not over"
            raise ServerDraining(f"the server is starting: {waits}", retry_after_s=1.0)
        return json_response({"started": True})

    async def ready(self, _: Call) -> web.Response:
        """503 until the repository's first load is over, and again from the drain on."""
        if (missing := self.inference.missing) is not None:
            raise ServerDraining(
                f"the server is not ready: model '{missing}' does not serve (settings ready_models, "
                "strict_readiness)",
                retry_after_s=1.0,
            )
        if why := self.inference.awaited():
            raise ServerDraining(f"the server is not ready: {why}", retry_after_s=1.0)
        if not self.inference.whole:
            raise ServerDraining(
                "the server is not ready: one of its workers is being started", retry_after_s=1.0
            )
        if not self.inference.ready:
            raise ServerDraining(
                "the server is not ready: it is starting, or shutting down", retry_after_s=1.0
            )
        return json_response({"ready": True})

    async def model_ready(self, call: Call) -> web.Response:
        """Unknown is 404; known but not serving is 503 with the reason."""
        if not self.inference.model_ready(call.model, call.version):
            self.inference.served(call.model, call.version)
        return json_response({"name": call.model, "ready": True})

    async def healthy(self, _: Call) -> web.Response:
        """The simple face: the process answers."""
        return json_response({"status": "healthy"})
