"""The gRPC front end on a free port over models in memory, and bare calls to any server.

The calls are grpc.aio over the messages of onnxd_protos: no client library of anybody in between.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import Message

from onnxd.fleet import Alone
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.control import ControlCalls
from onnxd.grpc_frontend.infer import InferCalls
from onnxd.grpc_frontend.neural import NeuralCalls
from onnxd.grpc_frontend.run_time_settings import SettingCalls
from onnxd.grpc_frontend.server import GrpcFrontend
from onnxd.protocol.binary import encode_tensor
from onnxd.protocol.limits import ProtocolLimits
from onnxd.security.gate import Gate
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.telemetry.tracing import Tracing
from onnxd.tensors import Array, datatype_of
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES
from tests.support.grpc_transports import on_transport
from tests.support.serving import Serving

UNBOUNDED: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Or a channel to a port that an earlier test used gets that one's connection.
    ("grpc.use_local_subchannel_pool", 1),
)
ONES: Final = np.ones((1, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Refused:
    """How a call ended that was not answered."""

    code: grpc.StatusCode
    details: str
    error: grpc.aio.AioRpcError


class GrpcCalls:
    """Calls by their name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def start(
        self, name: str, request: Message | bytes, *, service: str = GRPC_INFERENCE_SERVICE, **options: Any
    ) -> Any:
        """Begin a unary call; awaiting it gives the response. Bytes are sent as they are."""
        method = SERVICES[service][name]
        call: Any = self.channel.unary_unary(method.path, None, method.response.FromString)
        return call(_bytes(request), **options)

    async def ask(self, name: str, request: Message | bytes, **options: Any) -> Any:
        """The response to a unary call. Raises AioRpcError."""
        return await self.start(name, request, **options)

    def stream(
        self, name: str = "ModelStreamInfer", *, service: str = GRPC_INFERENCE_SERVICE, **options: Any
    ) -> Any:
        """Begin a bidirectional call, whose messages are written as bytes or messages."""
        method = SERVICES[service][name]
        call: Any = self.channel.stream_stream(method.path, _bytes, method.response.FromString)
        return call(**options)

    async def infer(self, model: str, inputs: Mapping[str, Array], **options: Any) -> dict[str, bytes]:
        """The raw bytes of each output, by name. Raises AioRpcError."""
        answer = await self.ask("ModelInfer", infer_request(model, inputs), **options)
        return raw_outputs(answer)

    async def refusal(self, name: str, request: Message | bytes, **options: Any) -> Refused:
        """How a unary call is refused; fails when it is answered."""
        try:
            answer = await self.ask(name, request, **options)
        except grpc.aio.AioRpcError as error:
            return Refused(error.code(), error.details() or "", error)
        raise AssertionError(f"answered: {answer}")

    async def assert_well(self, model: str = "identity") -> None:
        """Live, and right about a request that is known to be good."""
        assert (await self.ask("ServerLive", pb.ServerLiveRequest())).live
        assert await self.infer(model, {"x": ONES}) == {"y": ONES.tobytes()}


@dataclass(frozen=True, slots=True)
class GrpcServer:
    """A front end, what it stands on, and calls to it."""

    frontend: GrpcFrontend
    stand: Serving
    calls: GrpcCalls

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.frontend.port}"

    def leases(self) -> int:
        """Holds that requests have on models, over all that serve."""
        return sum(served.leases for served in self.stand.inference.serving(None, None))


@asynccontextmanager
async def grpc_server(
    stand: Serving,
    config: GrpcConfig | None = None,
    *,
    limits: ProtocolLimits | None = None,
    tracing: Tracing | None = None,
    simple_model: str = "identity",
    gate: Gate | None = None,
) -> AsyncIterator[GrpcServer]:
    """It announces itself as serving."""
    tracing = tracing or Tracing()
    run_time = RunTimeSettings(tracing.settings, LogSettings())
    fleet = Alone(stand.inference.shared_memory, run_time)
    frontend = GrpcFrontend(
        on_transport(config or GrpcConfig(port=0)),
        "127.0.0.1",
        infer=InferCalls(stand.inference, tracing, limits or ProtocolLimits()),
        control=ControlCalls(stand.inference, stand.control, limits or ProtocolLimits(), "onnxd", "0", fleet),
        neural=NeuralCalls(stand.inference, simple_model),
        settings=SettingCalls(stand.inference, run_time, fleet),
        refusals=stand.refusals,
        gate=gate or Gate(),
    )
    async with frontend:
        await frontend.announce(serving=True)
        async with grpc_calls(f"127.0.0.1:{frontend.port}") as calls:
            yield GrpcServer(frontend, stand, calls)


@asynccontextmanager
async def grpc_calls(address: str, **options: Any) -> AsyncIterator[GrpcCalls]:
    """Calls on a connection of their own."""
    channel = grpc.aio.insecure_channel(address, options=(*UNBOUNDED, *options.items()))
    async with channel:
        yield GrpcCalls(channel)


def infer_request(
    model: str,
    inputs: Mapping[str, Array],
    *,
    version: str = "",
    id: str = "",
    outputs: tuple[str, ...] = (),
) -> pb.ModelInferRequest:
    """A request with its tensors as raw bytes."""
    message = pb.ModelInferRequest(model_name=model, model_version=version, id=id)
    for name, array in inputs.items():
        message.inputs.add(name=name, datatype=datatype_of(array).value, shape=array.shape)
        message.raw_input_contents.append(bytes(encode_tensor(array)))
    for name in outputs:
        message.outputs.add(name=name)
    return message


def raw_outputs(answer: pb.ModelInferResponse) -> dict[str, bytes]:
    """The outputs' bytes by name; there are as many as outputs, each at its output's index."""
    assert len(answer.outputs) == len(answer.raw_output_contents)
    return {
        output.name: data for output, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def _bytes(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()
