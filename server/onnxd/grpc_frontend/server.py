"""The gRPC listener: its services, reflection and health on a transport, and how they start and stop."""

from socket import socket
from types import TracebackType

from onnxd.grpc_frontend.call import InProgress
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.control import ControlCalls
from onnxd.grpc_frontend.health import Health
from onnxd.grpc_frontend.infer import InferCalls
from onnxd.grpc_frontend.native.transport import NativeTransport
from onnxd.grpc_frontend.neural import NeuralCalls
from onnxd.grpc_frontend.run_time_settings import SettingCalls
from onnxd.grpc_frontend.services import OWN_SERVICES, Services
from onnxd.grpc_frontend.streams import Streams
from onnxd.grpc_frontend.transport import Transport
from onnxd.security.gate import Gate
from onnxd.security.tls import Certificates
from onnxd.telemetry.refusals import Refusals


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
        transport: Transport | None = None,
    ) -> None:
        """`certificates` None: the port speaks without TLS. `sock`: bound already, with SO_REUSEPORT, so that
        other workers listen on its port too; None = the port is for nobody else. `transport`: in place of the
        config's, with whatever it listens on."""
        self._config = config
        self._services = Services(infer, control, neural, settings)
        self._running = InProgress(refusals, gate)
        self._streams = Streams(config.max_stream_in_flight)
        inference = control.inference
        self._health = Health(OWN_SERVICES, complete=lambda: inference.missing is None)
        if transport is None and config.transport == "native":
            transport = NativeTransport(
                config, host, certificates, payloads=inference.payloads, refusals=refusals, sock=sock
            )
        elif transport is None:
            from onnxd.grpc_frontend.grpcio import GrpcioTransport  # and with it all of grpcio

            transport = GrpcioTransport(config, host, certificates, sock)
        self.transport: Transport = transport
        self._open = False
        self.port = config.port
        """The port that is listened on; known once the context is entered."""

    async def __aenter__(self) -> "GrpcFrontend":
        """Raises PortTaken."""
        handlers = self._services.handlers(
            self._health, self._streams, self._running, reflection=self._config.reflection
        )
        self.port = await self.transport.start(handlers)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0.0)
        await self.transport.close()

    async def announce(self, *, serving: bool) -> None:
        """Tell health checks and their watchers."""
        await self._health.set(serving=serving)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, and end those that have not finished after `grace_s` seconds. May be repeated.

        Streams, which have no end of their own, end as soon as what they have sent is answered.
        """
        if self._open:
            await self._health.close()
            self._streams.close()
            await self.transport.stop(grace_s)
            await self._running.none_left()
            self._open = False
