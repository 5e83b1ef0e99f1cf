"""What the server is, and what its models take and give."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService
from onnxd.protocol import documents
from onnxd.protocol.config_document import config_document


@dataclass(frozen=True, slots=True)
class MetadataHandlers:
    """Metadata and configuration."""

    inference: InferenceService
    server_name: str
    server_version: str

    async def server(self, _: Call) -> web.Response:
        extensions = documents.extensions(shared_memory=self.inference.shared_memory.enabled)
        return json_response(documents.server_metadata(self.server_name, self.server_version, extensions))

    async def model(self, call: Call) -> web.Response:
        await self.inference.wake(call.model)
        spec = self.inference.spec(call.model, call.version)
        versions = self.inference.versions(call.model) if call.version is None else (call.version,)
        return json_response(documents.model_metadata(spec, versions))

    async def explain(self, call: Call) -> web.Response:
        """Every key of the config in force, and where each value comes from."""
        await self.inference.wake(call.model)
        served = self.inference.served(call.model, call.version)
        keys = [key.document() for key in await asyncio.to_thread(served.explain)]
        return json_response({"name": call.model, "version": str(served.spec.version), "config": keys})

    async def config(self, call: Call) -> web.Response:
        await self.inference.wake(call.model)
        served = self.inference.served(call.model, call.version)
        return json_response(config_document(served.triton_config()))
