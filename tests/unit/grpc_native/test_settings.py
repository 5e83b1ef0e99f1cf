"""Settings that the native transport alone knows."""

import struct
from functools import partial

import numpy as np
import pytest

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import grpc_server, infer_request
from tests.support.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PREFACE,
    SETTINGS,
    RawHttp2,
    frame,
    headers,
    http2,
    message,
    raw_socket,
)
from tests.support.serving import identity_spec, served_version, serving, tensor
from tests.support.until import until

LIVE = "/inference.GRPCInferenceService/ServerLive"
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.mark.parametrize("setting", ["max_connections", "max_connections_per_address"])
async def test_connections_are_as_many_as_they_may_be(setting: str) -> None:
    stand = serving(served_version(identity_spec()))
    config = GrpcConfig(port=0, transport="native", **{setting: 2})  # type: ignore[arg-type]  # by name
    async with grpc_server(stand, config) as server:
        port = server.frontend.port
        async with http2(port), http2(port), raw_socket(port) as (reader, writer):
            third = RawHttp2(reader, writer)
            await third.send(PREFACE, frame(SETTINGS))
            assert (await third.until(GOAWAY)).goaway[0] == ENHANCE_YOUR_CALM
        await until(partial(answers, port))


async def answers(port: int) -> bool:
    """Whether a new connection is served."""
    async with http2(port) as connection:
        try:
            answered = await connection.call(LIVE, message(pb.ServerLiveRequest().SerializeToString()))
        except ConnectionError:
            return False
        return answered["grpc-status"] == "0"


async def test_an_answer_that_nobody_reads_is_not_kept_for_ever() -> None:
    wide = identity_spec("wide", inputs=(tensor("x", -1),), max_batch_size=0)
    stand = serving(served_version(identity_spec()), served_version(wide))
    config = GrpcConfig(port=0, transport="native", write_timeout=0.05)
    request = infer_request("wide", {"x": np.zeros(100_000, np.float32)}).SerializeToString()
    async with grpc_server(stand, config) as server, raw_socket(server.frontend.port) as (reader, writer):
        connection = RawHttp2(reader, writer)
        no_window = struct.pack(">HI", 4, 0)
        await connection.send(PREFACE, frame(SETTINGS, payload=no_window))
        await connection.until(SETTINGS)
        fields = {
            ":method": "POST", ":scheme": "http", ":path": INFER, ":authority": "test",
            "te": "trailers", "content-type": "application/grpc",
        }  # fmt: skip
        await connection.send(frame(HEADERS, END_HEADERS, 1, headers(fields)))
        data = message(request)
        for at in range(0, len(data), 16384):
            part = data[at : at + 16384]
            await connection.send(frame(DATA, END_STREAM if at + 16384 >= len(data) else 0, 1, part))
        received = await connection.receive()
        while received is not None and received.kind != 3:  # RST_STREAM, or the connection is closed
            received = await connection.receive()
        await until(lambda: stand.inference.in_flight == 0)
        await server.calls.assert_well()
