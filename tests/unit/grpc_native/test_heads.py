"""What is said to the head of a call before there is a message."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from onnxd.grpc_frontend.boundary import bytes_handler, stream_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.context import Received
from onnxd.grpc_frontend.native.calls import Calls
from onnxd.grpc_frontend.native.head import metadata_of
from onnxd.grpc_frontend.native.status import trailers
from onnxd.grpc_frontend.status_code import StatusCode
from onnxd.grpc_frontend.streams import Streams
from onnxd.http2.stream import Header
from onnxd.scheduler.payloads import PayloadBound
from onnxd.security.gate import Gate
from onnxd.telemetry.refusals import Refusals
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES
from tests.support.fake_stream import FakeStream, head_of, headers_of
from tests.support.raw_http2 import message

LIVE = "/inference.GRPCInferenceService/ServerLive"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
Code = grpc.StatusCode


async def echo(data: Received, _: Call) -> bytes:
    return bytes(data)


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    """One call and one stream, which answer what they are sent."""
    methods = SERVICES[GRPC_INFERENCE_SERVICE]
    refusals = Refusals()
    running = InProgress(refusals, Gate())
    streams = Streams(4)

    async def serve(call: Call) -> None:
        await streams.serve(call, echo)

    handlers = {
        LIVE: bytes_handler(methods["ServerLive"], echo, running),
        STREAM: stream_handler(methods["ModelStreamInfer"], serve, running),
    }
    payloads = PayloadBound(-1)
    async with asyncio.TaskGroup() as tasks:
        made = Calls(handlers, GrpcConfig(max_message=1000), payloads, refusals, tasks)
        yield made
        made.end_all()
    assert payloads.held_bytes == 0
    assert not made.open


async def answered(calls: Calls, headers: list[Header], *data: bytes, end: bool = True) -> FakeStream:
    """A call that has come to its end."""
    stream = FakeStream(headers)
    handler = calls(stream)
    for part in data:
        handler.data_received(memoryview(part))
    if end:
        handler.end_received([])
    await stream.ended.wait()
    assert stream.consumed_bytes == sum(map(len, data))
    return stream


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"])
@pytest.mark.parametrize("path", [LIVE, STREAM])
async def test_a_good_call_is_answered(calls: Calls, kind: str, path: str) -> None:
    stream = await answered(calls, head_of(path, content_type=kind), message(b"hello"))
    assert stream.heads == [
        {
            ":status": "200",
            "content-type": "application/grpc",
            "grpc-accept-encoding": "identity,deflate,gzip",
        },
        {"grpc-status": "0"},
    ]
    assert stream.data == message(b"hello")


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({":method": "GET"}, "405", "expected the method POST"),
        ({"content-type": ""}, "415", "application/grpc"),
        ({"content-type": "application/json"}, "415", "application/json"),
        ({"content-type": "application/grpc-web"}, "415", "application/grpc-web"),
        ({"content-type": "application/grpc+json"}, "415", "application/grpc+json"),
    ],
)
async def test_what_is_no_call_is_told_in_terms_of_http(
    calls: Calls, changes: dict[str, str], status: str, text: str
) -> None:
    fields = {name.decode(): value.decode() for name, value in head_of(LIVE)} | changes
    stream = await answered(calls, headers_of(fields))
    [head] = stream.heads
    assert head[":status"] == status
    assert (status == "405") is (head.get("allow") == "POST")
    assert head["grpc-status"] == str(Code.UNIMPLEMENTED.value[0])
    assert text in head["grpc-message"]


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"te": ""}, Code.INVALID_ARGUMENT, "te: trailers"),
        ({"grpc_timeout": "1"}, Code.INVALID_ARGUMENT, "grpc-timeout"),
        ({"grpc_timeout": "123456789S"}, Code.INVALID_ARGUMENT, "grpc-timeout"),
        ({"grpc_timeout": "-1S"}, Code.INVALID_ARGUMENT, "grpc-timeout"),
        ({"grpc_encoding": "br"}, Code.UNIMPLEMENTED, "expected gzip, deflate or identity"),
        ({"x_odd_bin": "!!!"}, Code.INTERNAL, "illegal base64"),
        ({"x_large": "x" * 20_000}, Code.RESOURCE_EXHAUSTED, "bytes of metadata"),
    ],
)
async def test_a_head_that_cannot_be_read_is_refused_by_name(
    calls: Calls, more: dict[str, str], code: Code, text: str
) -> None:
    stream = await answered(calls, head_of(LIVE, **more))
    assert stream.status[0] == code.value[0]
    assert text in stream.status[1]
    assert len(stream.heads) == 1
    assert stream.heads[0][":status"] == "200"


async def test_G15_a_path_that_leads_nowhere(calls: Calls) -> None:
    stream = await answered(calls, head_of("/no.Such/Method"), end=False)  # nor need it ever say anything
    assert stream.status == (Code.UNIMPLEMENTED.value[0], "there is no method '/no.Such/Method'")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ((), "got none"),
        ((b"",), "got none"),
        ((b"\0\0\0",), "ends inside a message"),
        ((message(b"hello")[:-1],), "ends inside a message"),
        ((message(b"a"), message(b"b")), "got more"),
        ((message(b"a") + message(b"b"),), "got more"),
        ((message(b"a")[:3], message(b"a")[3:] + message(b"b")), "got more"),
        ((b"\x07" + message(b"a")[1:],), "got 7"),
    ],
)
async def test_data_that_is_not_one_message_is_refused(
    calls: Calls, data: tuple[bytes, ...], text: str
) -> None:
    stream = await answered(calls, head_of(LIVE), *data)
    assert stream.status[0] == Code.INVALID_ARGUMENT.value[0]
    assert text in stream.status[1]


@pytest.mark.parametrize("path", [LIVE, STREAM])
async def test_G1_a_message_over_the_bound_is_refused_by_its_length(calls: Calls, path: str) -> None:
    stream = await answered(calls, head_of(path), message(bytes(1001))[:5], end=False)
    assert stream.status[0] == Code.RESOURCE_EXHAUSTED.value[0]


async def test_a_message_may_come_in_any_pieces(calls: Calls) -> None:
    whole = message(b"hello")
    for cut in range(len(whole) + 1):
        stream = await answered(calls, head_of(LIVE), whole[:cut], whole[cut:])
        assert (stream.status[0], stream.data) == (0, whole)


async def test_a_compressed_message_without_its_encoding_is_refused(calls: Calls) -> None:
    stream = await answered(calls, head_of(LIVE), message(b"x", compressed=True))
    assert stream.status[0] == Code.INTERNAL.value[0]
    assert "grpc-encoding" in stream.status[1]


@pytest.mark.parametrize("path", [LIVE, STREAM])
async def test_bytes_that_are_not_compressed_as_they_say_are_refused(calls: Calls, path: str) -> None:
    stream = await answered(calls, head_of(path, grpc_encoding="gzip"), message(b"x", compressed=True))
    assert stream.status[0] == Code.INVALID_ARGUMENT.value[0]


def test_metadata_is_text_and_bytes_and_never_the_protocols_own() -> None:
    headers = head_of(
        LIVE, grpc_timeout="1S", user_agent="x", x_one="é", x_two_bin="YWI", grpc_encoding="gzip"
    )
    headers += headers_of({"x-two-bin": "YWI=, YWJj", "authorization": "Bearer k"})
    assert metadata_of(headers) == (
        ("user-agent", "x"),
        ("x-one", "é"),
        ("x-two-bin", b"ab"),
        ("x-two-bin", b"ab"),
        ("x-two-bin", b"abc"),
        ("authorization", "Bearer k"),
    )


def test_a_status_is_written_as_grpc_reads_it() -> None:
    assert trailers(StatusCode.NOT_FOUND, "50 % of ü\n", (("x-bin", b"\0\1"), ("y", "z"))) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"50 %25 of %C3%BC%0A"),
        (b"x-bin", b"AAE"),
        (b"y", b"z"),
    ]
