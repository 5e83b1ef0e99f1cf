"""ModelInfer at the edge: cancelling, deadlines, the drain, the trace, and the access log."""

import asyncio
import logging

import grpc
import grpc.aio
import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.typing import EventDict

from onnxd.errors import ExecutionFailed
from onnxd.grpc_frontend.infer import IN_THREAD_BYTES
from onnxd.inference import InferenceConfig
from onnxd.telemetry.tracing import Tracing
from onnxd.tensors import Datatype
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcServer, grpc_server, infer_request, raw_outputs
from tests.support.serving import (
    FailingRunner,
    HoldingRunner,
    Serving,
    identity_spec,
    served_version,
    serving,
    tensor,
)
from tests.support.spans import sending_to
from tests.support.until import until

HELD = infer_request("held", {"x": ONES})


async def cancelled(call: grpc.aio.UnaryUnaryCall) -> None:  # type: ignore[type-arg]  # not generic at run time
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_a_request_cancelled_while_it_runs_gives_its_place_back(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    call = server.calls.start("ModelInfer", HELD)
    await holding.begun.wait()
    await cancelled(call)
    await until(lambda: server.stand.inference.in_flight == 0)
    assert server.leases() == 0
    holding.release()


async def test_a_request_cancelled_in_the_queue_never_runs(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    first = server.calls.start("ModelInfer", HELD)
    await holding.begun.wait()
    second = server.calls.start("ModelInfer", HELD)
    await until(lambda: server.stand.inference.in_flight == 2)
    await cancelled(second)
    await until(lambda: server.stand.inference.in_flight == 1)
    holding.release()
    assert raw_outputs(await first) == {"y": ONES.tobytes()}
    [served] = server.stand.inference.serving("held", 1)
    assert served.statistics.snapshot().inference_count == 1


async def test_a_request_cancelled_inside_a_batch_does_not_touch_its_mates(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    first = server.calls.start("ModelInfer", HELD)
    await holding.begun.wait()
    holding.begun.clear()
    mates = [server.calls.start("ModelInfer", infer_request("held", {"x": ONES * n})) for n in (2, 3)]
    await until(lambda: server.stand.inference.in_flight == 3)
    holding.release()
    await holding.begun.wait()  # with both of them
    await cancelled(mates[0])
    await until(lambda: server.stand.inference.in_flight == 1)
    holding.release()
    assert raw_outputs(await first) == {"y": ONES.tobytes()}
    assert raw_outputs(await mates[1]) == {"y": (ONES * 3).tobytes()}


async def test_a_deadline_ends_the_call_and_frees_the_model(
    server: GrpcServer, holding: HoldingRunner
) -> None:
    refused = await server.calls.refusal("ModelInfer", HELD, timeout=0.05)
    assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: server.stand.inference.in_flight == 0)
    holding.release()


async def test_without_a_deadline_the_servers_own_holds(holding: HoldingRunner, quiet: None) -> None:
    held = served_version(identity_spec("held", max_batch_size=2), holding)
    stand = serving(served_version(identity_spec()), held, config=InferenceConfig(default_timeout=0.05))
    async with grpc_server(stand) as server:
        for deadline_s in (None, 10 * 365 * 86400.0):
            refused = await server.calls.refusal("ModelInfer", HELD, timeout=deadline_s)
            assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "deadline passed while" in refused.details
        holding.release()


async def first_refusal(server: GrpcServer) -> grpc.StatusCode:
    """Of calls one after the other: those that come before the port is closed are still answered."""
    while True:
        try:
            await server.calls.ask("ServerLive", pb.ServerLiveRequest())
        except grpc.aio.AioRpcError as error:
            return error.code()


async def test_a_stopping_server_finishes_what_it_has_begun(
    stand: Serving, holding: HoldingRunner, quiet: None
) -> None:
    async with grpc_server(stand) as server:
        call = server.calls.start("ModelInfer", HELD)
        await holding.begun.wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.frontend.stop(30.0))
            # Cancelled: it had come, and grpc's core had not yet handed it to us, when the port was closed.
            assert await first_refusal(server) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            holding.release()
            assert raw_outputs(await call) == {"y": ONES.tobytes()}


async def test_a_stopping_server_ends_what_outlasts_the_grace(
    stand: Serving, holding: HoldingRunner, quiet: None
) -> None:
    async with grpc_server(stand) as server:
        call = server.calls.start("ModelInfer", HELD)
        await holding.begun.wait()
        await server.frontend.stop(0.05)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert stand.inference.in_flight == 0
    holding.release()


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
async def test_many_elements_are_decoded_like_few(quiet: None, typed: bool) -> None:
    spec = identity_spec("text", inputs=(tensor("x", -1, datatype=Datatype.BYTES),), max_batch_size=0)
    async with grpc_server(serving(served_version(spec))) as server:
        text = np.array([f"element {number} \0 ü" for number in range(10_000)], object)
        message = infer_request("text", {"x": text}, id="large")
        expected = message.raw_input_contents[0]
        if typed:
            del message.raw_input_contents[:]
            message.inputs[0].contents.bytes_contents.extend(element.encode() for element in text)
        assert message.ByteSize() > IN_THREAD_BYTES
        answer = await server.calls.ask("ModelInfer", message)
        assert (answer.id, raw_outputs(answer)) == ("large", {"y": expected})
        message.inputs[0].shape[0] += 1
        refused = await server.calls.refusal("ModelInfer", message)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced(spans: InMemorySpanExporter) -> Tracing:
    return Tracing(sending_to(spans))


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def server_span(spans: InMemorySpanExporter) -> ReadableSpan:
    [span] = [span for span in spans.get_finished_spans() if span.name == "onnxd.infer"]
    return span


async def test_a_request_is_one_trace_below_its_callers(
    stand: Serving, quiet: None, spans: InMemorySpanExporter
) -> None:
    async with grpc_server(stand, tracing=traced(spans)) as server:
        request = infer_request("identity", {"x": ONES}, id="7")
        await server.calls.ask("ModelInfer", request, metadata=(("traceparent", PARENT),))
    span = server_span(spans)
    assert span.parent is not None
    assert span.parent.span_id == 0xB7AD6B7169203331
    assert {child.name for child in spans.get_finished_spans() if child is not span} == {
        "onnxd.decode", "onnxd.queue", "onnxd.execute", "onnxd.encode",
    }  # fmt: skip
    attributes = dict(span.attributes or {})
    assert (
        attributes.items()
        >= {
            "rpc.system.name": "grpc",
            "rpc.method": "inference.GRPCInferenceService/ModelInfer",
            "rpc.response.status_code": "OK",
            "onnxd.model.name": "identity",
            "onnxd.model.version": 1,
            "onnxd.request.id": "7",
        }.items()
    )


async def test_a_refused_request_of_a_stream_has_a_trace_too(
    stand: Serving, quiet: None, spans: InMemorySpanExporter
) -> None:
    async with grpc_server(stand, tracing=traced(spans)) as server:
        stream = server.calls.stream()
        await stream.write(infer_request("nobody", {"x": ONES}))
        assert (await stream.read()).error_message
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    attributes = dict(server_span(spans).attributes or {})
    assert (
        attributes.items()
        >= {
            "rpc.method": "inference.GRPCInferenceService/ModelStreamInfer",
            "rpc.response.status_code": "NOT_FOUND",
            "onnxd.model.name": "nobody",
        }.items()
    )


async def test_a_cancelled_request_is_traced_as_such(
    stand: Serving, holding: HoldingRunner, quiet: None, spans: InMemorySpanExporter
) -> None:
    async with grpc_server(stand, tracing=traced(spans)) as server:
        call = server.calls.start("ModelInfer", HELD)
        await holding.begun.wait()
        await cancelled(call)
        await until(lambda: bool(spans.get_finished_spans()))
    assert dict(server_span(spans).attributes or {})["rpc.response.status_code"] == "CANCELLED"
    holding.release()


async def test_a_run_that_failed_is_the_servers_fault(
    own_logs: list[EventDict], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onnxd.access")
    failing = served_version(identity_spec(), FailingRunner(ExecutionFailed("the run failed")))
    async with grpc_server(serving(failing)) as server:
        refused = await server.calls.refusal("ModelInfer", infer_request("identity", {"x": ONES}))
    assert (refused.code, refused.details) == (grpc.StatusCode.INTERNAL, "the run failed")
    assert [event["log_level"] for event in own_logs] == ["warning"]


async def test_each_refusal_is_one_line_of_the_log(
    server: GrpcServer, own_logs: list[EventDict], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onnxd.access")
    await server.calls.refusal("ModelInfer", infer_request("nobody", {"x": ONES}, id="7"))
    await server.calls.refusal("ModelConfig", pb.ModelConfigRequest(name="nobody"))
    file = {"log_file": pb.LogSettingsRequest.SettingValue(string_param="/var/log/onnxd")}
    await server.calls.refusal("LogSettings", pb.LogSettingsRequest(settings=file))
    lines = [
        (event["event"].partition("/")[2], event["status"], event.get("model"), event.get("id"))
        for event in own_logs
        if "duration_ms" in event
    ]
    assert lines == [
        ("ModelInfer", "NOT_FOUND", "nobody", "7"),
        ("ModelConfig", "NOT_FOUND", "nobody", None),
        ("LogSettings", "UNIMPLEMENTED", None, None),
    ]
    assert all(event["peer"].startswith("ipv4:127.0.0.1:") for event in own_logs if "duration_ms" in event)
