"""The gRPC listener: services, reflection, health, and how they start and stop."""

from collections.abc import Callable
from socket import socket
from types import TracebackType
from typing import Any, Final

import grpc
import grpc.aio

from onnxd.grpc_frontend.boundary import Unary, bytes_handler, stream_handler, unary_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.control import ControlCalls
from onnxd.grpc_frontend.health import HEALTH_SERVICE, Health
from onnxd.grpc_frontend.infer import InferCalls
from onnxd.grpc_frontend.neural import NeuralCalls
from onnxd.grpc_frontend.reflection import reflection_handlers
from onnxd.grpc_frontend.run_time_settings import SettingCalls
from onnxd.grpc_frontend.shared_memory import SharedMemoryCalls
from onnxd.grpc_frontend.streams import Answer, Streams
from onnxd.grpc_frontend.tls import credentials
from onnxd.security.gate import Gate
from onnxd.security.tls import Certificates
from onnxd.telemetry.refusals import Refusals
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, NEURAL_SERVICE, SERVICES


class PortTaken(OSError):
    """The port cannot be listened on. For the operator at start-up."""


class GrpcFrontend:
    """An async context manager: it listens while it is open.

    Leaving it refuses new calls, lets those in progress finish within the grace given to `stop` (or ends
    them), and closes the port.
    """

    def __init__(
        self,
        config: GrpcConfig,
        host: str,
        *,
        infer: InferCalls,
        control: ControlCalls,
        neural: NeuralCalls,
        settings: SettingCalls,
        refusals: Refusals,
        gate: Gate,
        certificates: Certificates | None = None,
        sock: socket | None = None,
    ) -> None:
        """`certificates` None: the port speaks without TLS. `sock`: bound already, with SO_REUSEPORT, so that
        other workers listen on its port too; None = the port is for nobody else."""
        self._sock = sock
        self._certificates = certificates
        self._config = config
        self._host = host
        self._infer = infer
        self._control = control
        self._neural = neural
        self._settings = settings
        self._running = InProgress(refusals, gate)
        self._streams = Streams(config.max_stream_in_flight)
        inference = control.inference
        self._health = Health(
            (GRPC_INFERENCE_SERVICE, NEURAL_SERVICE), complete=lambda: inference.missing is None
        )
        self._server: grpc.aio.Server | None = None
        self.port = config.port
        """The port that is listened on; known once the context is entered."""

    async def __aenter__(self) -> "GrpcFrontend":
        """Raises PortTaken."""
        # grpcio cannot adopt a socket: it binds the port of this one once more.
        port = self._config.port if self._sock is None else self._sock.getsockname()[1]
        server = grpc.aio.server(options=_options(self._config, shared=self._sock is not None))
        services = [GRPC_INFERENCE_SERVICE, NEURAL_SERVICE, HEALTH_SERVICE]
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(GRPC_INFERENCE_SERVICE, self._inference_handlers()),
                grpc.method_handlers_generic_handler(NEURAL_SERVICE, self._neural_handlers()),
                self._health.handler(self._running),
                *self._reflection_handlers(services),
            ]
        )
        address = f"[{self._host}]" if ":" in self._host else self._host
        try:
            if self._certificates is None:
                self.port = server.add_insecure_port(f"{address}:{port}")
            else:
                secure = credentials(self._certificates)
                self.port = server.add_secure_port(f"{address}:{port}", secure)
        except RuntimeError as error:
            raise PortTaken(
                f"cannot listen for gRPC on {address}:{self._config.port}: it is in use, or not ours; "
                "choose another with --grpc-port, or 0 for any that is free"
            ) from error
        await server.start()
        self._server = server
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0.0)

    async def announce(self, *, serving: bool) -> None:
        """Tell health checks and their watchers."""
        await self._health.set(serving=serving)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, and end those that have not finished after `grace_s` seconds. May be repeated.

        Streams, which have no end of their own, end as soon as what they have sent is answered.
        """
        if self._server is not None:
            await self._health.close()
            self._streams.close()
            await self._server.stop(grace_s)
            await self._running.none_left()
            self._server = None

    def _reflection_handlers(self, services: list[str]) -> list[grpc.GenericRpcHandler]:
        if not self._config.reflection:
            return []
        return reflection_handlers(services, self._streams, self._running)

    def _inference_handlers(self) -> dict[str, "grpc.RpcMethodHandler[Any, Any]"]:
        control = self._control
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
            "TraceSetting": self._settings.trace,
            "LogSettings": self._settings.log,
            **SharedMemoryCalls(control.inference.shared_memory, control.fleet).by_name(),
        }
        methods = SERVICES[GRPC_INFERENCE_SERVICE]
        handlers = {name: unary_handler(methods[name], serve, self._running) for name, serve in unary.items()}
        return handlers | self._both_ways(
            GRPC_INFERENCE_SERVICE,
            ("ModelInfer", self._infer.unary),
            ("ModelStreamInfer", self._infer.of_stream),
        )

    def _neural_handlers(self) -> dict[str, "grpc.RpcMethodHandler[Any, Any]"]:
        infer = self._neural.infer
        return self._both_ways(NEURAL_SERVICE, ("Infer", infer), ("InferStream", lambda _: infer))

    def _both_ways(
        self, service: str, unary: tuple[str, Answer], stream: tuple[str, Callable[[Call], Answer]]
    ) -> dict[str, "grpc.RpcMethodHandler[Any, Any]"]:
        """The handlers of a call that is offered for one message, and for a stream of them."""
        methods = SERVICES[service]
        name, answer_of = stream

        async def serve(call: Call) -> None:
            await self._streams.serve(call, answer_of(call))

        return {
            unary[0]: bytes_handler(methods[unary[0]], unary[1], self._running),
            name: stream_handler(methods[name], serve, self._running),
        }


_MAX_PENDING_CALLS: Final = 8192
_COMPRESSION_LEVELS: Final = {"none": 0, "gzip": 1, "deflate": 3}
"""A level and not an algorithm: grpc chooses the level's among those that the caller reads. An algorithm it
would use whatever the caller says."""


def _options(config: GrpcConfig, *, shared: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", config.max_message),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", config.max_metadata),
        ("grpc.absolute_max_metadata_size", config.max_metadata),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        # Calls that have come and were not yet taken up. Beyond its default of 1,000 grpc ends them at random
        # as CANCELLED; what is too much is ours to say.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_PENDING_CALLS),
        ("grpc.keepalive_time_ms", int(config.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout * 1000)),
        ("grpc.keepalive_permit_without_calls", int(config.keepalive_without_calls)),
        ("grpc.max_connection_age_ms", int(config.max_connection_age * 1000)),
        ("grpc.max_connection_age_grace_ms", int(config.max_connection_age_grace * 1000)),
        # With its default a second server binds the same port without a word, and takes half of the calls.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.http2.min_ping_interval_without_data_ms", int(config.min_ping_interval * 1000)),
        ("grpc.default_compression_level", _COMPRESSION_LEVELS[config.response_compression]),
    ]
