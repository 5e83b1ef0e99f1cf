"""Table G of the faults, what is below a call: sizes, metadata, bytes, connections, ports. After each the
server is live, right about a good request, and nothing is held (see the fixture `server`)."""

import asyncio
import os
import re
import zlib
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.transport import PortTaken
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.services import GRPC_INFERENCE_SERVICE
from tests.support.grpc_server import (
    ONES,
    GrpcServer,
    grpc_server,
    infer_request,
)
from tests.support.raw_http2 import ENHANCE_YOUR_CALM, GOAWAY, PING, frame, http2, message, raw_socket
from tests.support.serving import Serving
from tests.support.until import until

pytestmark = pytest.mark.usefixtures("transport")

Code = grpc.StatusCode
GOOD = infer_request("identity", {"x": ONES})
HELD = infer_request("held", {"x": ONES})
INFER = "/inference.GRPCInferenceService/ModelInfer"


def wide(size: int) -> pb.ModelInferRequest:
    """A request of so many bytes and a little more."""
    return infer_request("wide", {"x": np.zeros(size // 4, np.float32)})


@pytest.mark.parametrize("streamed", [False, True], ids=["G1-a call", "G1-a stream"])
async def test_a_message_over_the_limit(stand: Serving, quiet: None, streamed: bool) -> None:
    assert GrpcConfig().max_message == 64 * 2**20
    good, large = wide(2**20 - 100), wide(2**20)
    async with grpc_server(stand, GrpcConfig(port=0, max_message=good.ByteSize())) as server:
        if streamed:
            stream = server.calls.stream()
            await stream.write(good)
            assert not (await stream.read()).error_message
            await stream.write(large)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stream.read()
            code = raised.value.code()
        else:
            await server.calls.ask("ModelInfer", good)
            code = (await server.calls.refusal("ModelInfer", large)).code
        assert code is Code.RESOURCE_EXHAUSTED
        await server.calls.assert_well()


@pytest.mark.parametrize("limit", [pytest.param(-1, id="G1-no limit")])
async def test_the_limit_can_be_lifted(stand: Serving, quiet: None, limit: int) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, max_message=limit)) as server:
        await server.calls.ask("ModelInfer", wide(8 * 2**20))


def zeros(megabytes: int, wbits: int) -> bytes:
    """So many MiB of zeros, compressed without ever being there as a whole."""
    compressor = zlib.compressobj(wbits=wbits)
    part = bytes(2**20)
    return b"".join(compressor.compress(part) for _ in range(megabytes)) + compressor.flush()


def peak_bytes(*, reset: bool = False) -> int:
    """The most memory that this process had since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.parametrize(
    ("encoding", "wbits"),
    [pytest.param("gzip", 31, id="G3-gzip"), pytest.param("deflate", 15, id="G3-deflate")],
)
async def test_a_decompression_bomb(server: GrpcServer, encoding: str, wbits: int) -> None:
    bomb = message(zeros(200, wbits), compressed=True)
    assert len(bomb) < 2**18
    before = peak_bytes(reset=True)
    async with http2(server.frontend.port) as connection:
        answered = await connection.call(INFER, bomb, {"grpc-encoding": encoding})
    assert answered["grpc-status"] == str(Code.RESOURCE_EXHAUSTED.value[0])
    assert peak_bytes() - before < 100 * 2**20  # the limit of 64 MiB, and never the 200


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param((("x-large", "x" * 20_000),), id="G8-20 KB"),
        pytest.param(tuple((f"x-key-{number}", "value") for number in range(1000)), id="G8-1,000 keys"),
    ],
)
async def test_too_much_metadata(server: GrpcServer, metadata: Any) -> None:
    refused = await server.calls.refusal("ServerLive", pb.ServerLiveRequest(), metadata=metadata)
    assert refused.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("value", ["!!!", "a", "\xff"], ids=["G8-not base64", "G8-cut base64", "G8-no ASCII"])
async def test_binary_metadata_that_is_none(server: GrpcServer, value: str) -> None:
    async with http2(server.frontend.port) as connection:
        answered = await connection.call(INFER, message(GOOD.SerializeToString()), {"x-odd-bin": value})
    # In the words, and with the code, of grpc's core: the call never gets as far as us.
    assert (answered["grpc-status"], answered["grpc-message"]) == (
        str(Code.INTERNAL.value[0]),
        "Error parsing 'x-odd-bin' metadata: illegal base64 encoding",
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n", id="G9-HTTP/1.1"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(508), id="G9-TLS hello"),
        pytest.param(b"\xff" * 500, id="G9-500 x 0xFF"),
        pytest.param(b"", id="G9-nothing, and closed"),
    ],
)
async def test_bytes_that_are_not_http_2(server: GrpcServer, data: bytes) -> None:
    async with raw_socket(server.frontend.port) as (reader, writer):
        writer.write(data)
        if not data:
            writer.write_eof()
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass  # reset, which is closed too


@pytest.mark.parametrize("payload", [pytest.param(bytes(8), id="G11-pings without data")])
async def test_a_flood_of_pings(server: GrpcServer, payload: bytes) -> None:
    async with http2(server.frontend.port) as connection:
        await connection.send(*[frame(PING, payload=payload)] * 1000)
        code, text = (await connection.until(GOAWAY)).goaway
    assert (code, text) == (ENHANCE_YOUR_CALM, "too_many_pings")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("count", [pytest.param(2000, id="G12-2,000 connections")])
async def test_connections_that_are_opened_and_dropped(server: GrpcServer, count: int) -> None:
    await server.calls.assert_well()
    before = descriptors()
    for _ in range(count // 50):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(open_and_drop(server.frontend.port))
    await until(lambda: descriptors() <= before)


async def open_and_drop(port: int) -> None:
    async with raw_socket(port):
        pass


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"/{GRPC_INFERENCE_SERVICE}/Nothing", id="G15-unknown method"),
        pytest.param("/inference.Nothing/ModelInfer", id="G15-unknown service"),
        pytest.param("/", id="G15-no service"),
    ],
)
async def test_a_path_that_leads_nowhere(server: GrpcServer, path: str) -> None:
    call: Any = server.calls.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"")
    assert raised.value.code() is Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    "version", ["v1", "v1alpha"], ids=["G15-reflection off, v1", "G15-reflection off, v1alpha"]
)
async def test_reflection_when_it_is_off(stand: Serving, quiet: None, version: str) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, reflection=False)) as server:
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        call: Any = server.calls.channel.stream_stream(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call().read()
        assert raised.value.code() is Code.UNIMPLEMENTED
        await server.calls.assert_well()


@pytest.mark.parametrize(
    "held", [pytest.param(True, id="G16-a port in use"), pytest.param(False, id="G16-free again")]
)
async def test_a_second_server_on_a_port(stand: Serving, quiet: None, held: bool) -> None:
    async with grpc_server(stand) as first:
        port = first.frontend.port
        if held:
            second = grpc_server(stand, GrpcConfig(port=port))
            with pytest.raises(PortTaken, match=f"127.0.0.1:{port}.*--grpc-port"):
                await second.__aenter__()
        await first.calls.assert_well()
    async with grpc_server(stand, GrpcConfig(port=port)) as second_server:
        await second_server.calls.assert_well()
