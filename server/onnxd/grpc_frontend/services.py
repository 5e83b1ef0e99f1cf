"""Every method that the port answers, with its handler."""

from collections.abc import Callable
from dataclasses import dataclass

from onnxd.grpc_frontend.boundary import Unary, bytes_handler, stream_handler, unary_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.control import ControlCalls
from onnxd.grpc_frontend.health import HEALTH_SERVICE, Health
from onnxd.grpc_frontend.infer import InferCalls
from onnxd.grpc_frontend.neural import NeuralCalls
from onnxd.grpc_frontend.reflection import reflection_handlers
from onnxd.grpc_frontend.run_time_settings import SettingCalls
from onnxd.grpc_frontend.shared_memory import SharedMemoryCalls
from onnxd.grpc_frontend.streams import Answer, Streams
from onnxd.grpc_frontend.transport import Handlers
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, NEURAL_SERVICE, SERVICES

OWN_SERVICES = (GRPC_INFERENCE_SERVICE, NEURAL_SERVICE)


@dataclass(frozen=True, slots=True)
class Services:
    """The calls of one server."""

    infer: InferCalls
    control: ControlCalls
    neural: NeuralCalls
    settings: SettingCalls

    def handlers(
        self, health: Health, streams: Streams, running: InProgress, *, reflection: bool
    ) -> Handlers:
        """By path. `reflection`: whether clients may ask for all of this."""
        handlers = {
            **self._inference(streams, running),
            **self._neural(streams, running),
            **health.handlers(running),
        }
        if reflection:
            described = [*OWN_SERVICES, HEALTH_SERVICE]
            handlers.update(reflection_handlers(described, streams, running))
        return handlers

    def _inference(self, streams: Streams, running: InProgress) -> Handlers:
        control = self.control
        unary: dict[str, Unary] = {
            "ServerLive": control.server_live,
            "ServerReady": control.server_ready,
            "ModelReady": control.model_ready,
            "ServerMetadata": control.server_metadata,
            "ModelMetadata": control.model_metadata,
            "ModelConfig": control.model_config,
            "ModelStatistics": control.statistics,
            "RepositoryIndex": control.index,
            "RepositoryModelLoad": control.load,
            "RepositoryModelUnload": control.unload,
            "TraceSetting": self.settings.trace,
            "LogSettings": self.settings.log,
            **SharedMemoryCalls(control.inference.shared_memory, control.fleet).by_name(),
        }
        methods = SERVICES[GRPC_INFERENCE_SERVICE]
        handlers = {
            methods[name].path: unary_handler(methods[name], serve, running) for name, serve in unary.items()
        }
        return handlers | _both_ways(
            GRPC_INFERENCE_SERVICE,
            ("ModelInfer", self.infer.unary),
            ("ModelStreamInfer", self.infer.of_stream),
            streams,
            running,
        )

    def _neural(self, streams: Streams, running: InProgress) -> Handlers:
        infer = self.neural.infer
        return _both_ways(
            NEURAL_SERVICE, ("Infer", infer), ("InferStream", lambda _: infer), streams, running
        )


def _both_ways(
    service: str,
    unary: tuple[str, Answer],
    stream: tuple[str, Callable[[Call], Answer]],
    streams: Streams,
    running: InProgress,
) -> Handlers:
    """The handlers of a call that is offered for one message, and for a stream of them."""
    methods = SERVICES[service]
    one, answer = methods[unary[0]], unary[1]
    many, answer_of = methods[stream[0]], stream[1]

    async def serve(call: Call) -> None:
        await streams.serve(call, answer_of(call))

    return {
        one.path: bytes_handler(one, answer, running),
        many.path: stream_handler(many, serve, running),
    }
