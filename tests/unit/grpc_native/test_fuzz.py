"""Whatever a caller sends in a call's data, and whenever it leaves: the call ends once, and nothing stays
held."""

import asyncio
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from onnxd.grpc_frontend.boundary import bytes_handler, stream_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.context import Received
from onnxd.grpc_frontend.native.calls import Calls
from onnxd.grpc_frontend.streams import Streams
from onnxd.scheduler.payloads import PayloadBound
from onnxd.security.gate import Gate
from onnxd.telemetry.refusals import Refusals
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES
from tests.support.fake_stream import FakeStream, head_of
from tests.support.raw_http2 import message

METHODS = SERVICES[GRPC_INFERENCE_SERVICE]
parts = st.one_of(
    st.binary(max_size=12),
    st.builds(message, st.binary(max_size=12), compressed=st.booleans()),
    st.just(message(bytes(200))[:50]),
    st.sampled_from(["turn", "end", "lost"]),
)


async def echo(data: Received, _: Call) -> bytes:
    await asyncio.sleep(0)
    return bytes(data)


async def play(path: str, encoding: str, script: list[Any]) -> None:
    refusals, payloads = Refusals(), PayloadBound(10_000)
    running, streams = InProgress(refusals, Gate()), Streams(2)

    async def serve(call: Call) -> None:
        await streams.serve(call, echo)

    handlers = {
        METHODS["ServerLive"].path: bytes_handler(METHODS["ServerLive"], echo, running),
        METHODS["ModelStreamInfer"].path: stream_handler(METHODS["ModelStreamInfer"], serve, running),
    }
    async with asyncio.TaskGroup() as tasks:
        calls = Calls(handlers, GrpcConfig(max_message=100), payloads, refusals, tasks)
        stream = FakeStream(head_of(path, grpc_encoding=encoding))
        handler = calls(stream)
        sent = 0
        said_all = lost = False
        for step in script:
            if step == "turn":
                await asyncio.sleep(0)
            elif step == "lost":
                lost = not stream.ended.is_set()
                if lost:
                    handler.lost(8)
                break
            elif step == "end":
                handler.end_received([])
                said_all = True
                break
            elif not stream.ended.is_set():
                handler.data_received(memoryview(step))
                sent += len(step)
        if not lost:
            if not said_all:
                handler.end_received([])
            await stream.ended.wait()
        assert not calls.open
        calls.end_all()
    assert running.calls == 0
    assert payloads.held_bytes == 0
    assert stream.consumed_bytes == sent
    if not lost:
        assert 1 <= len(stream.heads) <= 2
        assert "grpc-status" in stream.heads[-1]


@settings(max_examples=400)
@given(
    st.sampled_from([METHODS["ServerLive"].path, METHODS["ModelStreamInfer"].path]),
    st.sampled_from(["", "gzip"]),
    st.lists(parts, max_size=8),
)
def test_a_call_ends_once_and_nothing_stays_held(path: str, encoding: str, script: list[Any]) -> None:
    asyncio.run(play(path, encoding, script))
