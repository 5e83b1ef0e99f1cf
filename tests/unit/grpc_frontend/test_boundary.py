"""Nothing gets past the boundary but answers and refusals of ours."""

import gc
import re
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from structlog.typing import EventDict

from onnxd.errors import InvalidRequest, QueueFull
from onnxd.grpc_frontend.boundary import Unary, stream_handler, unary_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.grpcio import library_handler
from onnxd.grpc_frontend.streams import Streams
from onnxd.grpc_frontend.transport import Handler
from onnxd.security.gate import Gate
from onnxd.telemetry.refusals import Refusals
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES
from tests.support.grpc_server import GrpcCalls, grpc_calls

METHODS = SERVICES[GRPC_INFERENCE_SERVICE]
LIVE = pb.ServerLiveRequest()


@asynccontextmanager
async def serving(**handlers: Handler) -> AsyncIterator[GrpcCalls]:
    """A server of these methods only."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    registered = {name: library_handler(handler) for name, handler in handlers.items()}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(GRPC_INFERENCE_SERVICE, registered)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc_calls(f"127.0.0.1:{port}") as calls:
            yield calls
    finally:
        await server.stop(None)


def live(serve: Unary) -> Handler:
    return unary_handler(METHODS["ServerLive"], serve, InProgress(Refusals(), Gate()))


def raising(error: Exception) -> Unary:
    async def serve(_: Message, __: Call) -> Message:
        raise error

    return serve


async def test_a_bug_is_answered_with_a_number_and_nothing_else(own_logs: list[EventDict]) -> None:
    async with serving(ServerLive=live(raising(ZeroDivisionError("the secret /etc/passwd")))) as calls:
        refused = await calls.refusal("ServerLive", LIVE)
    assert refused.code is grpc.StatusCode.INTERNAL
    match = re.fullmatch(r"internal error \(request id ([0-9a-f]{16})\)", refused.details)
    assert match is not None
    [event] = [event for event in own_logs if event["event"] == "a call failed"]
    assert event["request_id"] == match[1]
    assert event["operation"] == "inference.GRPCInferenceService/ServerLive"
    assert isinstance(event["exc_info"], ZeroDivisionError)


async def test_a_bug_in_a_stream_is_answered_in_the_same_way(own_logs: list[EventDict]) -> None:
    async def serve(_: Call) -> None:
        raise ExceptionGroup("unhandled errors in a TaskGroup", [KeyError("the secret")])

    handler = stream_handler(METHODS["ModelStreamInfer"], serve, InProgress(Refusals(), Gate()))
    async with serving(ModelStreamInfer=handler) as calls:
        stream = calls.stream()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert re.fullmatch(r"internal error \(request id [0-9a-f]{16}\)", raised.value.details() or "")
    [event] = [event for event in own_logs if event["event"] == "a call failed"]
    assert isinstance(event["exc_info"], KeyError)


async def test_an_error_of_ours_in_a_group_is_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(_: Call) -> None:
        raise ExceptionGroup("", [ExceptionGroup("", [QueueFull("full", retry_after_s=2.0)])])

    handler = stream_handler(METHODS["ModelStreamInfer"], serve, InProgress(Refusals(), Gate()))
    async with serving(ModelStreamInfer=handler) as calls:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await calls.stream().read()
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNAVAILABLE, "full")
    # grpc logs what a handler lets out, with its traceback.
    assert caplog.records == []


async def test_no_memory_is_a_reason_to_try_again(own_logs: list[EventDict]) -> None:
    async with serving(ServerLive=live(raising(MemoryError()))) as calls:
        refused = await calls.refusal("ServerLive", LIVE)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert "no memory" in refused.details
    assert {event["log_level"] for event in own_logs} <= {"info"}


async def test_bytes_that_are_no_message_are_the_callers_fault() -> None:
    async with serving(ServerLive=live(raising(AssertionError("not reached")))) as calls:
        refused = await calls.refusal("ServerLive", b"\xff\xff")
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.details == "the bytes sent are not a inference.ServerLiveRequest message"


class Tracked(str):
    """Text that can be watched."""

    __slots__ = ("__weakref__",)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed is freed because nothing refers to it."""
    gc.disable()
    yield
    gc.enable()


async def test_a_refused_message_is_not_kept_until_the_garbage_collector_comes(no_collector: None) -> None:
    kept: list[weakref.ref[Tracked]] = []

    async def serve(_: Message, __: Call) -> Message:
        large = Tracked("stands for the tensors of a request")
        kept.append(weakref.ref(large))
        raise InvalidRequest("no")

    async with serving(ServerLive=live(serve)) as calls:
        await calls.refusal("ServerLive", LIVE)
        await calls.refusal("ServerLive", LIVE)
        assert kept[0]() is None


async def test_nor_is_the_message_that_ended_a_stream(no_collector: None) -> None:
    kept: list[weakref.ref[Tracked]] = []

    async def answer(_: bytes | memoryview, __: Call) -> bytes:
        large = Tracked("as above")
        kept.append(weakref.ref(large))
        raise InvalidRequest("no")

    streams = partial(Streams(4).serve, answer=answer)
    handler = stream_handler(METHODS["ModelStreamInfer"], streams, InProgress(Refusals(), Gate()))
    async with serving(ModelStreamInfer=handler) as calls:
        for _ in range(2):
            stream = calls.stream()
            await stream.write(b"")
            with pytest.raises(grpc.aio.AioRpcError, match="no"):
                await stream.read()
        assert kept[0]() is None
