"""The logging extension: what of the log is written, read and changed."""

from dataclasses import dataclass

from aiohttp import web

from onnxd.fleet import Fleet
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.log_settings import log_settings, read_log_settings
from onnxd.telemetry.run_time_settings import RunTimeSettings


@dataclass(frozen=True, slots=True)
class LogSettingHandlers:
    """Of the whole server."""

    settings: RunTimeSettings
    fleet: Fleet
    body: BodyReader
    limits: ProtocolLimits

    async def read(self, _: Call) -> web.Response:
        return json_response(log_settings(self.settings.log.view))

    async def update(self, call: Call) -> web.Response:
        """Answers with what holds afterwards."""
        document = await self.body.read_object(call, self.limits)
        await self.fleet.change_log(read_log_settings(document))
        return await self.read(call)
