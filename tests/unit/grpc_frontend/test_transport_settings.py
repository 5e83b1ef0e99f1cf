"""What an operator sets about the transport: compression, and the bounds from both sides."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import grpc
import grpc.aio
import numpy as np
import pytest

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import GrpcServer, grpc_calls, grpc_server, infer_request
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version, serving, tensor
from tests.support.until import until

SIZE = 200_000
ZEROS = infer_request("wide", {"x": np.zeros(SIZE // 4, np.float32)})
NOISE = infer_request("wide", {"x": np.random.default_rng(1).random(SIZE // 4, np.float32)})
ACCEPTED = "grpc.compression_enabled_algorithms_bitset"
IDENTITY, DEFLATE, GZIP = 1, 2, 4


@dataclass(slots=True)
class Relay:
    """Passes one connection through and counts what the server sends."""

    port: int = 0
    answered_bytes: int = 0
    answered: bytes = b""


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    counted = Relay()
    passing: list[asyncio.Task[None]] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, count: bool) -> None:
        while data := await source.read(65536):
            if count:
                counted.answered_bytes += len(data)
                counted.answered += data[:1000]
            sink.write(data)
            await sink.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, outward = await asyncio.open_connection("127.0.0.1", target)
        try:
            await asyncio.gather(pump(reader, outward, count=False), pump(onward, writer, count=True))
        finally:
            for stream in (writer, outward):
                stream.close()
                with suppress(ConnectionError):
                    await stream.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.append(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        counted.port = server.sockets[0].getsockname()[1]
        yield counted
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


@pytest.fixture
async def stand(holding: HoldingRunner) -> Serving:
    """`identity`, `held` whose runs end when told to, and `wide`, which takes any length."""
    return serving(
        served_version(identity_spec()),
        served_version(identity_spec("held", max_batch_size=2), holding),
        served_version(identity_spec("wide", inputs=(tensor("x", -1),), max_batch_size=0)),
    )


async def answer_bytes(server: GrpcServer, request: pb.ModelInferRequest, accepted: int, how: str) -> int:
    """What the answer to one request takes on the wire; it is right whatever it takes."""
    async with relay(server.frontend.port) as counted:
        async with grpc_calls(f"127.0.0.1:{counted.port}", **{ACCEPTED: accepted}) as calls:
            if how == "stream":
                stream = calls.stream()
                await stream.write(request)
                await stream.done_writing()
                [answer] = [message.infer_response async for message in stream]
            else:
                answer = await calls.ask("ModelInfer", request)
        assert answer.raw_output_contents[0] == request.raw_input_contents[0]
        return counted.answered_bytes


@pytest.mark.parametrize("how", ["call", "stream"])
@pytest.mark.parametrize("setting", ["gzip", "deflate"])
async def test_answers_are_compressed_for_those_who_read_it(
    stand: Serving, quiet: None, setting: Literal["gzip", "deflate"], how: str
) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, response_compression=setting)) as server:
        for accepted in (IDENTITY | DEFLATE | GZIP, IDENTITY | DEFLATE, IDENTITY | GZIP):
            assert await answer_bytes(server, ZEROS, accepted, how) < SIZE / 10
        assert await answer_bytes(server, ZEROS, IDENTITY, how) > SIZE
        await server.calls.assert_well()


async def test_answers_are_not_compressed_unless_that_is_set(server: GrpcServer) -> None:
    assert GrpcConfig().response_compression == "none"
    assert await answer_bytes(server, ZEROS, IDENTITY | DEFLATE | GZIP, "call") > SIZE


@pytest.mark.parametrize("setting", ["gzip", "deflate"])
async def test_the_setting_chooses_among_what_both_know(
    stand: Serving, quiet: None, setting: Literal["gzip", "deflate"]
) -> None:
    async with (
        grpc_server(stand, GrpcConfig(port=0, response_compression=setting)) as server,
        relay(server.frontend.port) as counted,
        grpc_calls(f"127.0.0.1:{counted.port}") as calls,
    ):
        await calls.ask("ModelInfer", ZEROS)
    # A compressed message is a flag, its length, and the format's own first bytes.
    assert re.search(
        {"gzip": rb"\x01\0\0..\x1f\x8b", "deflate": rb"\x01\0\0..\x78"}[setting], counted.answered, re.DOTALL
    )


async def test_what_does_not_shrink_and_other_calls_are_left_as_they_are(stand: Serving, quiet: None) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, response_compression="gzip")) as server:
        assert await answer_bytes(server, NOISE, IDENTITY | DEFLATE | GZIP, "call") > SIZE * 0.8
        async with relay(server.frontend.port) as counted, grpc_calls(f"127.0.0.1:{counted.port}") as calls:
            config = await calls.ask("ModelConfig", pb.ModelConfigRequest(name="wide"))
        assert config.SerializeToString() in counted.answered


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_requests_may_be_compressed_whatever_is_set(
    server: GrpcServer, compression: grpc.Compression
) -> None:
    answer = await server.calls.ask("ModelInfer", ZEROS, compression=compression)
    assert answer.raw_output_contents[0] == ZEROS.raw_input_contents[0]


def metadata(size: int) -> Any:
    """One pair of so many bytes as HTTP/2 counts them: 32 for each entry, besides name and value."""
    return (("x-large", "x" * (size - 32 - len("x-large"))),)


async def test_metadata_is_taken_up_to_its_bound(stand: Serving, quiet: None) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, max_metadata=4096)) as server:
        ask = pb.ServerLiveRequest()
        assert (await server.calls.ask("ServerLive", ask, metadata=metadata(3200))).live
        refused = await server.calls.refusal("ServerLive", ask, metadata=metadata(4097))
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await server.calls.assert_well()


async def test_a_message_is_taken_up_to_its_bound(stand: Serving, quiet: None) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, max_message=ZEROS.ByteSize())) as server:
        await server.calls.ask("ModelInfer", ZEROS)
        larger = pb.ModelInferRequest()
        larger.CopyFrom(ZEROS)
        larger.id = "7"
        for compression in (None, grpc.Compression.Gzip):
            refused = await server.calls.refusal("ModelInfer", larger, compression=compression)
            assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await server.calls.assert_well()


async def test_a_connection_has_no_more_calls_in_progress_than_it_may(
    holding: HoldingRunner, stand: Serving, quiet: None
) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, max_concurrent_streams=3)) as server:
        one = np.ones((1, 4), np.float32)
        held = [server.calls.start("ModelInfer", infer_request("held", {"x": one})) for _ in range(5)]
        await until(lambda: stand.inference.in_flight == 3)
        async with grpc_calls(server.address) as other:  # it has a bound of its own, and comes last
            await other.assert_well()
        assert stand.inference.in_flight == 3
        answers = asyncio.gather(*held, return_exceptions=True)
        while not answers.done():
            holding.release()
            await asyncio.sleep(0)
        codes = [
            answer.code() if isinstance(answer, grpc.aio.AioRpcError) else grpc.StatusCode.OK
            for answer in await answers
        ]
        # The others waited at the client, and grpc may refuse them while it has not let go of the first.
        assert codes.count(grpc.StatusCode.OK) >= 3
        assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


async def test_as_many_calls_as_a_queue_holds_may_share_a_connection(stand: Serving, quiet: None) -> None:
    async with grpc_server(stand) as server:
        calls = [server.calls.start("ServerLive", pb.ServerLiveRequest()) for _ in range(1500)]
        assert all(answer.live for answer in await asyncio.gather(*calls))


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + bytes(8)
PONG = bytes([0, 0, 8, 6, 1, 0, 0, 0, 0]) + bytes(8)


@pytest.mark.parametrize("often", [True, False])
async def test_a_caller_may_probe_as_often_as_is_set(stand: Serving, quiet: None, often: bool) -> None:
    often_enough = GrpcConfig(port=0, min_ping_interval=0.0, keepalive_without_calls=True)
    async with grpc_server(stand, often_enough if often else GrpcConfig(port=0)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.frontend.port)
        writer.write(PREFACE + PING * 100)
        answered = b""
        while answered.count(PONG) < 100 if often else b"too_many_pings" not in answered:
            data = await reader.read(65536)
            assert data
            answered += data
        assert (b"too_many_pings" in answered) is not often
        writer.close()
        await writer.wait_closed()
        await server.calls.assert_well()
