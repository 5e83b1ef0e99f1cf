"""TraceSetting and LogSettings: each reads, and changes what its request mentions."""

from dataclasses import dataclass

from onnxd.fleet import Fleet
from onnxd.grpc_frontend.call import Call
from onnxd.inference import InferenceService
from onnxd.protocol.log_settings import log_settings, read_log_settings
from onnxd.protocol.names import check_model_name
from onnxd.protocol.trace_settings import read_trace_settings, trace_settings
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd_protos import grpc_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class SettingCalls:
    """Trace settings of all models or of one, and the log's."""

    inference: InferenceService
    settings: RunTimeSettings
    fleet: Fleet

    async def trace(self, asked: pb.TraceSettingRequest, call: Call) -> pb.TraceSettingResponse:
        """An unknown model is an error; one that does not serve now is not."""
        model = call.model = asked.model_name
        call.require(model)
        if model:
            self.inference.model_ready(check_model_name(model), None)
        change = read_trace_settings({key: list(given.value) for key, given in asked.settings.items()})
        if asked.settings:
            call.require(model, "trace")
        await self.fleet.change_trace(change, model)
        response = pb.TraceSettingResponse()
        for key, value in trace_settings(self.settings.trace, model).items():
            response.settings[key].value.append(value)
        return response

    async def log(self, asked: pb.LogSettingsRequest, call: Call) -> pb.LogSettingsResponse:
        if asked.settings:
            call.require("", "log")
        await self.fleet.change_log(
            read_log_settings({key: _value(given) for key, given in asked.settings.items()})
        )
        response = pb.LogSettingsResponse()
        for key, value in log_settings(self.settings.log.view).items():
            setting = response.settings[key]
            if isinstance(value, bool):
                setting.bool_param = value
            elif isinstance(value, int):
                setting.uint32_param = value
            else:
                setting.string_param = value
        return response


def _value(setting: pb.LogSettingsRequest.SettingValue) -> bool | int | str | None:
    """None = not set, which is how clients say that they have no wish."""
    match setting.WhichOneof("parameter_choice"):
        case "bool_param":
            return setting.bool_param
        case "uint32_param":
            return setting.uint32_param
        case "string_param":
            return setting.string_param
        case _:
            return None
