"""Traces, as a real collector receives them from the real exporters."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import pytest

from onnxd.errors import QueueTimeout, TensorMismatch
from onnxd.messages import Timeline
from onnxd.telemetry.attributes import server_attributes
from onnxd.telemetry.setup import TracingConfig, open_tracing
from onnxd.telemetry.tracing import RequestTrace, Tracing
from tests.support.otlp_receiver import GrpcReceiver, HttpReceiver, ReceivedSpan, tree
from tests.support.spans import finish

CALLER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
NOT_SAMPLED = f"00-{CALLER_TRACE}-{CALLER_SPAN}-00"

WHOLE_TREE = [
    "onnxd.infer",
    "  onnxd.decode",
    "  onnxd.queue",
    "  onnxd.execute",
    "  onnxd.encode",
]


@pytest.fixture
async def receiver() -> AsyncIterator[GrpcReceiver]:
    async with GrpcReceiver() as receiver:
        yield receiver


def complete_timeline() -> Timeline:
    """A request that passed every stage, 1 ms in each, and was received 10 ms ago."""
    start = time.monotonic_ns() - 10_000_000
    step = 1_000_000
    return Timeline(
        received_ns=start,
        decode_start_ns=start,
        decode_end_ns=start + step,
        queue_start_ns=start + step,
        compute_start_ns=start + 2 * step,
        infer_start_ns=start + 2 * step,
        infer_end_ns=start + 3 * step,
        compute_end_ns=start + 3 * step,
        encode_start_ns=start + 3 * step,
        encode_end_ns=start + 4 * step,
        batch_rows=7,
        batch_requests=3,
        cut="full",
    )


def trace_one(
    tracing: Tracing,
    timeline: Timeline,
    *,
    carrier: Mapping[str, str] | None = None,
    error: BaseException | None = None,
    request_id: str = "",
) -> RequestTrace | None:
    trace = tracing.start(carrier or {}, timeline.received_ns)
    finish(
        tracing, trace, timeline, "POST /v2/models/{model}/infer", 200, model="digits", version=2,
        request_id=request_id, principal="camera", error=error,
    )  # fmt: skip
    return trace


def named(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    (span,) = (span for span in spans if span.name == name)
    return span


@contextlib.asynccontextmanager
async def tracing_to(
    receiver: GrpcReceiver | HttpReceiver, sample_ratio: float = 1.0
) -> AsyncIterator[Tracing]:
    """Tracing whose spans have all been received when the context ends."""
    protocol: Literal["grpc", "http/protobuf"] = (
        "grpc" if isinstance(receiver, GrpcReceiver) else "http/protobuf"
    )
    config = TracingConfig(
        receiver.endpoint, protocol, sample_ratio, keep_remarkable=False,
        service_name="digits-server", headers={"x-team": "vision"},
    )  # fmt: skip
    async with open_tracing(config, version="1.2.3") as tracing:
        yield tracing


@pytest.mark.parametrize("transport", [GrpcReceiver, HttpReceiver], ids=["over gRPC", "over HTTP"])
async def test_a_request_is_one_tree_of_five_spans(transport: type[GrpcReceiver | HttpReceiver]) -> None:
    async with transport() as receiver:
        async with tracing_to(receiver) as tracing:
            trace_one(tracing, complete_timeline())
        assert tree(receiver.spans) == WHOLE_TREE
        assert receiver.headers[0]["x-team"] == "vision"
    server = named(receiver.spans, "onnxd.infer")
    assert server.kind == "SERVER"
    assert server.status == "UNSET"
    assert server.resource["service.name"] == "digits-server"
    assert server.resource["service.version"] == "1.2.3"
    assert len({span.trace_id for span in receiver.spans}) == 1


async def test_each_span_has_the_times_of_its_stage(receiver: GrpcReceiver) -> None:
    before_ns = time.time_ns()
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, complete_timeline())
    server = named(receiver.spans, "onnxd.infer")
    children = [span for span in receiver.spans if span is not server]
    assert [span.end_ns - span.start_ns for span in children] == [1_000_000] * 4
    assert all(server.start_ns <= span.start_ns and span.end_ns <= server.end_ns for span in children)
    assert server.end_ns - server.start_ns >= 10_000_000
    assert abs(server.end_ns - before_ns) < 60e9  # of the epoch, not of the monotonic clock


async def test_the_server_span_says_what_was_asked_and_how_it_ran(receiver: GrpcReceiver) -> None:
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, complete_timeline(), request_id="r-1")
    assert named(receiver.spans, "onnxd.infer").attributes == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "onnxd.model.name": "digits",
        "onnxd.model.version": 2,
        "onnxd.request.id": "r-1",
        "enduser.id": "camera",
        "onnxd.batch.rows": 7,
        "onnxd.batch.requests": 3,
        "onnxd.batch.cut": "full",
    }


def test_a_request_over_grpc_is_described_by_its_method_and_code() -> None:
    assert server_attributes("/inference.GRPCInferenceService/ModelInfer", "OK", "", None, "", "") == {
        "rpc.system.name": "grpc",
        "rpc.method": "inference.GRPCInferenceService/ModelInfer",
        "rpc.response.status_code": "OK",
    }


async def test_a_callers_trace_goes_on(receiver: GrpcReceiver) -> None:
    async with tracing_to(receiver, sample_ratio=0.0) as tracing:
        trace = trace_one(
            tracing, complete_timeline(), carrier={"traceparent": SAMPLED, "tracestate": "a=b,c=d"}
        )
    assert trace is not None
    assert trace.trace_id == CALLER_TRACE
    assert tree(receiver.spans) == WHOLE_TREE
    assert {span.trace_id for span in receiver.spans} == {CALLER_TRACE}
    server = named(receiver.spans, "onnxd.infer")
    assert server.parent_id == CALLER_SPAN
    assert server.trace_state == "a=b,c=d"


@pytest.mark.parametrize(
    "carrier",
    [
        {"traceparent": "garbage"},
        {"traceparent": ""},
        {"traceparent": SAMPLED.upper()},
        {"traceparent": SAMPLED + "-extra"},
        {"traceparent": f"ff-{CALLER_TRACE}-{CALLER_SPAN}-01"},
        {"traceparent": f"00-{'0' * 32}-{CALLER_SPAN}-01"},
        {"traceparent": f"00-{CALLER_TRACE}-{'0' * 16}-01"},
        {"traceparent": "01-" + SAMPLED[3:] + "-" + "x" * 100_000},
        {"traceparent": "\udcff\udcfe"},
        {"tracestate": "a=b"},
    ],
    ids=[
        "garbage", "empty", "upper case", "too long for its version", "forbidden version", "no trace id",
        "no span id", "oversized", "not UTF-8", "a state without a parent",
    ],
)  # fmt: skip
async def test_K5_a_malformed_traceparent_begins_a_new_trace(
    receiver: GrpcReceiver, carrier: dict[str, str]
) -> None:
    async with tracing_to(receiver) as tracing:
        trace = trace_one(tracing, complete_timeline(), carrier=carrier)
    assert trace is not None
    assert trace.trace_id != CALLER_TRACE
    assert tree(receiver.spans) == WHOLE_TREE
    assert named(receiver.spans, "onnxd.infer").parent_id == ""


@pytest.mark.parametrize(
    "state",
    ["=", "a" * 100_000, ",".join(f"k{n}=v" for n in range(33)), "a=\x00", "a=\udcff"],
    ids=["malformed", "oversized", "too many", "control character", "not UTF-8"],
)
async def test_K5_a_malformed_tracestate_is_dropped_and_its_trace_goes_on(
    receiver: GrpcReceiver, state: str
) -> None:
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, complete_timeline(), carrier={"traceparent": SAMPLED, "tracestate": state})
    server = named(receiver.spans, "onnxd.infer")
    assert (server.trace_id, server.parent_id, server.trace_state) == (CALLER_TRACE, CALLER_SPAN, "")


@pytest.mark.parametrize(
    ("ratio", "carrier"),
    [(0.0, {}), (1.0, {"traceparent": NOT_SAMPLED})],
    ids=["a ratio of zero", "a caller that does not trace"],
)
async def test_a_request_that_is_not_sampled_leaves_nothing(
    receiver: GrpcReceiver, ratio: float, carrier: dict[str, str]
) -> None:
    async with tracing_to(receiver, ratio) as tracing:
        assert trace_one(tracing, complete_timeline(), carrier=carrier) is None
    assert receiver.spans == []


async def test_about_the_sampled_share_is_traced(receiver: GrpcReceiver) -> None:
    async with tracing_to(receiver, 0.5) as tracing:
        sampled = sum(tracing.start({}) is not None for _ in range(400))
    assert 100 < sampled < 300  # ten standard deviations to either side


async def test_a_request_refused_while_decoding_has_only_its_decode_span(receiver: GrpcReceiver) -> None:
    now = time.monotonic_ns()
    timeline = Timeline(received_ns=now, decode_start_ns=now)
    error = TensorMismatch("input 'image': expected FP32, got INT8")
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, timeline, error=error)
    assert tree(receiver.spans) == ["onnxd.infer", "  onnxd.decode"]
    for span in receiver.spans:
        assert span.status == "ERROR"
        assert span.status_message == "TensorMismatch: input 'image': expected FP32, got INT8"
        assert span.attributes["error.type"] == "TensorMismatch"


async def test_the_error_is_on_the_stage_that_the_request_did_not_leave(receiver: GrpcReceiver) -> None:
    now = time.monotonic_ns()
    timeline = Timeline(now, decode_start_ns=now, decode_end_ns=now + 1, queue_start_ns=now + 1)
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, timeline, error=QueueTimeout("waited 5 ms"))
    assert tree(receiver.spans) == ["onnxd.infer", "  onnxd.decode", "  onnxd.queue"]
    assert named(receiver.spans, "onnxd.queue").status == "ERROR"
    assert named(receiver.spans, "onnxd.decode").status == "UNSET"
    assert named(receiver.spans, "onnxd.queue").end_ns == named(receiver.spans, "onnxd.infer").end_ns


async def test_a_bug_is_named_by_its_class_alone(receiver: GrpcReceiver) -> None:
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, complete_timeline(), error=KeyError("/secret/path"))
    server = named(receiver.spans, "onnxd.infer")
    assert (server.status, server.status_message) == ("ERROR", "KeyError")
    assert "secret" not in repr(receiver.spans)


async def test_text_that_is_not_unicode_does_not_cost_other_spans(receiver: GrpcReceiver) -> None:
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, complete_timeline(), request_id="a\udcff")
        trace_one(tracing, complete_timeline(), request_id="é")
    ids = [span.attributes["onnxd.request.id"] for span in receiver.spans if span.name == "onnxd.infer"]
    assert ids == ["a\\udcff", "é"]


async def test_a_long_attribute_is_cut(receiver: GrpcReceiver) -> None:
    async with tracing_to(receiver) as tracing:
        trace_one(tracing, complete_timeline(), request_id="x" * 100_000)
    assert named(receiver.spans, "onnxd.infer").attributes["onnxd.request.id"] == "x" * 1024


def test_tracing_that_is_off_traces_nothing() -> None:
    tracing = Tracing()
    assert not tracing.on
    assert trace_one(tracing, complete_timeline(), carrier={"traceparent": SAMPLED}) is None
