"""Clients that people use, over real sockets: nghttp2, curl, httpx, grpclib; with and without TLS."""

import asyncio
import shutil
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import trustme
import uvloop
from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase

from onnxd.http2.config import Http2Config
from onnxd.http2.head_block import encode_block
from tests.support.http2_echo import EchoListener, echo
from tests.support.http2_stand import REQUEST
from tests.support.raw_http2 import (
    END_HEADERS,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    raw_socket,
)
from tests.support.until import until

BODY = bytes(range(256)) * 2000
GRPC_BODY = b"\0\0\0\0\x05hello"


@pytest.fixture
async def listener() -> AsyncIterator[EchoListener]:
    async with echo() as listening:
        yield listening


async def output_of(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    return out.decode()


@pytest.mark.parametrize("window_bits", ["16", "30"])
async def test_nghttp2_with_many_streams(listener: EchoListener, tmp_path: Path, window_bits: str) -> None:
    body = tmp_path / "body"
    body.write_bytes(BODY)
    out = await output_of(
        "h2load", "-n", "100", "-c", "2", "-m", "10", "-w", window_bits, "-W", window_bits,
        "-d", str(body), f"http://127.0.0.1:{listener.port}/x",
    )  # fmt: skip
    assert "100 succeeded, 0 failed, 0 errored" in out
    assert f"({100 * len(BODY)}) data" in out


async def test_nghttp2_with_padding_and_continuations(listener: EchoListener, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(BODY)
    out = await output_of(
        "nghttp", "-nv", "-b", "200", "--continuation", "-m", "3", "-d", str(body),
        f"http://127.0.0.1:{listener.port}/x",
    )  # fmt: skip
    assert out.count("grpc-status: 0") == 3
    assert "RST_STREAM" not in out


async def test_curl_sends_and_gets_the_same(listener: EchoListener, tmp_path: Path) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(BODY)
    out = await output_of(
        "curl", "-s", "--http2-prior-knowledge", "--data-binary", f"@{sent}", "-o", str(got),
        "-w", "%{http_code} %{http_version}", f"http://127.0.0.1:{listener.port}/x",
    )  # fmt: skip
    assert out == "200 2"
    assert got.read_bytes() == BODY


async def test_curl_that_speaks_http_1_is_told_what_is_spoken_here(listener: EchoListener) -> None:
    out = await output_of("curl", "-s", "-w", " %{http_code}", f"http://127.0.0.1:{listener.port}/x")
    assert out == "this port speaks HTTP/2 only\n 505"


async def test_httpx_with_streams_at_the_same_time(listener: EchoListener) -> None:
    async with httpx.AsyncClient(http1=False, http2=True) as client:
        url = f"http://127.0.0.1:{listener.port}/x"
        answers = await asyncio.gather(*(client.post(url, content=BODY[number:]) for number in range(10)))
    assert [answer.content for answer in answers] == [BODY[number:] for number in range(10)]
    assert len({echoed.stream.peer for echoed in listener.streams}) == 1


def unary(channel: grpc.aio.Channel, path: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    return channel.unary_unary(path)


async def test_grpcio(listener: EchoListener) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        call = unary(channel, "/x.Y/Z")
        assert await call(b"hello") == b"hello"
        assert await call(BODY) == BODY
        held = unary(channel, "/held")(b"hello")
        await until(lambda: len(listener.streams) == 3)
        held.cancel()
        await until(lambda: listener.streams[-1].lost_with is not None)


class AsIs(CodecBase):
    """Of grpclib's, for messages that are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: object) -> bytes:
        assert isinstance(message, bytes)
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


async def test_grpclib(listener: EchoListener) -> None:
    async with (
        Channel("127.0.0.1", listener.port, codec=AsIs()) as channel,
        channel.request("/x.Y/Z", Cardinality.UNARY_UNARY, bytes, bytes) as stream,
    ):
        await stream.send_message(BODY, end=True)
        assert await stream.recv_message() == BODY


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["h2"])
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_httpx_over_tls_with_a_certificate(authority: trustme.CA) -> None:
    context = client_tls(authority)
    authority.issue_cert("client@example.org").configure_cert(context)
    async with (
        echo(tls=server_tls(authority)) as listener,
        httpx.AsyncClient(http1=False, http2=True, verify=context) as client,
    ):
        answer = await client.post(f"https://127.0.0.1:{listener.port}/x", content=BODY)
        assert answer.content == BODY
        certificate = listener.streams[0].stream.peer_certificate
        assert certificate is not None
        assert b"client@example.org" in certificate
        assert listener.streams[0].stream.peer.startswith("ipv4:127.0.0.1:")


async def test_a_tls_client_that_does_not_ask_for_http_2(authority: trustme.CA) -> None:
    async with (
        echo(tls=server_tls(authority)) as listener,
        httpx.AsyncClient(verify=client_tls(authority)) as client,
    ):
        answer = await client.post(f"https://127.0.0.1:{listener.port}/x", content=b"x")
        assert answer.status_code == 505
        assert not listener.streams


# The listener itself.


async def test_it_stops_when_its_streams_are_answered(listener: EchoListener) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        held = unary(channel, "/held")(b"hello")
        await until(lambda: bool(listener.streams))
        stopping = asyncio.ensure_future(listener.stop(30.0))
        await asyncio.sleep(0)
        assert not stopping.done()
        echoed = listener.streams[0]
        echoed.stream.send_block(b"\x88")
        echoed.stream.send_data([GRPC_BODY])
        echoed.stream.send_headers([(b"grpc-status", b"0")], end=True)
        assert await held == b"hello"
        await stopping
    assert listener.open_connections == 0


async def test_it_cuts_what_has_not_finished_in_time() -> None:
    async with echo() as listener, grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        held = unary(channel, "/held")(b"hello")
        await until(lambda: bool(listener.streams))
        await listener.stop(0.0)
        assert listener.open_connections == 0
        assert listener.streams[0].lost_with is not None
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await held
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address"])
async def test_connections_are_counted(limit: str) -> None:
    async with echo(Http2Config(**{limit: 1})) as listener:  # type: ignore[arg-type]
        async with raw_socket(listener.port):
            await until(lambda: listener.open_connections == 1)
            async with raw_socket(listener.port) as (reader, _):
                assert b"too many connections" in await reader.read()
        await until(lambda: listener.open_connections == 0)
        async with raw_socket(listener.port):
            await until(lambda: listener.open_connections == 1)


async def test_a_reader_that_reads_nothing_is_cut() -> None:
    large = struct.pack(">HI", 4, 2**30)
    async with (
        echo(Http2Config(write_timeout=0.1)) as listener,
        raw_socket(listener.port) as (reader, writer),
    ):
        window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30))
        request = frame(HEADERS, END_HEADERS, 1, encode_block(REQUEST))
        writer.write(PREFACE + frame(SETTINGS, 0, 0, large) + window + request)
        await reader.readexactly(9)
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # StreamReader has no word for it
        await until(lambda: bool(listener.streams))
        listener.streams[0].stream.send_data([bytes(2**26)])
        await until(lambda: not listener.open_connections)
        assert listener.streams[0].lost_with is not None


async def test_it_listens_on_a_socket_that_is_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        async with echo(sock=bound) as listener, httpx.AsyncClient(http1=False, http2=True) as client:
            assert listener.port == bound.getsockname()[1]
            assert (await client.post(f"http://127.0.0.1:{listener.port}/x", content=b"x")).content == b"x"


async def test_a_port_that_is_taken(listener: EchoListener) -> None:
    second = EchoListener(lambda stream: listener.streams[0], Http2Config(), "127.0.0.1", listener.port)
    with pytest.raises(OSError, match="in use"):
        await second.__aenter__()


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_reader_that_reads_nothing_is_cut,
        test_it_listens_on_a_socket_that_is_given,
        test_httpx_over_tls_with_a_certificate,
        test_a_tls_client_that_does_not_ask_for_http_2,
    ],
)
def test_all_that_on_the_servers_own_loop(
    scenario: Callable[..., Coroutine[Any, Any, None]], authority: trustme.CA
) -> None:
    """Its transports differ from asyncio's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(authority) if "tls" in scenario.__name__ else scenario())
