"""Table G of the faults, what is in a call: its message, its deadline, its handler, its end. After each the
server is live, right about a good request, and nothing is held (see the fixture `server`)."""

import asyncio
import re
from functools import partial
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from google.protobuf.message import Message

from onnxd.grpc_frontend.boundary import stream_handler, unary_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.grpcio import library_handler
from onnxd.inference import InferenceConfig
from onnxd.security.gate import Gate
from onnxd.telemetry.refusals import Refusals
from onnxd.tensors import Array
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES
from tests.support.grpc_server import (
    ONES,
    GrpcCalls,
    GrpcServer,
    grpc_calls,
    grpc_server,
    infer_request,
    raw_outputs,
)
from tests.support.server import RunningServer
from tests.support.serving import HoldingRunner, identity_spec, served_version, serving
from tests.support.until import until

pytestmark = pytest.mark.usefixtures("transport")

Code = grpc.StatusCode
GOOD = infer_request("identity", {"x": ONES})
HELD = infer_request("held", {"x": ONES})
INFER = "/inference.GRPCInferenceService/ModelInfer"


def contents(*, raw: int, typed: dict[str, list[Any]] | None = None) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="identity")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.extend([ONES.tobytes()] * raw)
    for field, values in (typed or {}).items():
        getattr(request.inputs[0].contents, field).extend(values)
    return request


@pytest.mark.parametrize(
    ("request_", "phrase"),
    [
        pytest.param(contents(raw=0), "no data", id="G2-no raw contents"),
        pytest.param(contents(raw=2), "got 2 for 1", id="G2-raw contents too many"),
        pytest.param(
            contents(raw=1, typed={"fp32_contents": [1] * 4}), "must not be set", id="G2-raw and typed"
        ),
        pytest.param(
            contents(raw=0, typed={"int_contents": [1] * 4}), "'fp32_contents'", id="G2-wrong typed field"
        ),
        pytest.param(
            contents(raw=0, typed={"fp32_contents": [1] * 4, "bool_contents": [True]}),
            "no other field",
            id="G2-two typed fields",
        ),
    ],
)
async def test_contents_that_do_not_fit(server: GrpcServer, request_: Message, phrase: str) -> None:
    refused = await server.calls.refusal("ModelInfer", request_)
    assert refused.code is Code.INVALID_ARGUMENT
    assert phrase in refused.details


def field(number: int, wire_type: int) -> bytes:
    key, out = number << 3 | wire_type, bytearray()
    while key >= 128:
        out.append(key % 128 + 128)
        key //= 128
    return bytes([*out, key])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff" * 100, id="G4-garbage"),
        pytest.param(GOOD.SerializeToString()[:-1], id="G4-cut"),
        pytest.param(b"\x0a\x02\xff\xfe", id="G4-a name that is not UTF-8"),
        pytest.param(
            GOOD.SerializeToString() + field(99, 3) * 10_000 + field(99, 4) * 10_000,
            id="G4-10,000 nested groups",
        ),
    ],
)
async def test_bytes_that_are_no_message(server: GrpcServer, data: bytes) -> None:
    refused = await server.calls.refusal("ModelInfer", data)
    assert refused.code is Code.INVALID_ARGUMENT
    assert refused.details == "the bytes sent are not a inference.ModelInferRequest message"


@pytest.mark.parametrize("number", [99, 2**28], ids=["G4-unknown field", "G4-unknown field of a high number"])
async def test_fields_that_are_unknown_are_ignored(server: GrpcServer, number: int) -> None:
    data = GOOD.SerializeToString() + field(number, 2) + b"\x03abc"
    assert raw_outputs(await server.calls.ask("ModelInfer", data)) == {"y": ONES.tobytes()}


async def faulty_unary(_: Message, __: Call) -> Message:
    raise RuntimeError("a secret: /etc/passwd")


async def faulty_stream(_: Call) -> None:
    raise RuntimeError("a secret: /etc/passwd")


@pytest.mark.parametrize("streamed", [False, True], ids=["G5-a call", "G5-a stream"])
async def test_a_handler_that_raises(streamed: bool) -> None:
    methods = SERVICES[GRPC_INFERENCE_SERVICE]
    handlers = {
        "ServerReady": unary_handler(methods["ServerReady"], faulty_unary, InProgress(Refusals(), Gate())),
        "ModelStreamInfer": stream_handler(
            methods["ModelStreamInfer"], faulty_stream, InProgress(Refusals(), Gate())
        ),
        "ServerLive": unary_handler(methods["ServerLive"], live, InProgress(Refusals(), Gate())),
    }
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    registered = {name: library_handler(handler) for name, handler in handlers.items()}
    services = grpc.method_handlers_generic_handler(GRPC_INFERENCE_SERVICE, registered)
    server.add_generic_rpc_handlers([services])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc_calls(f"127.0.0.1:{port}") as calls:
        if streamed:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await calls.stream().read()
            code, details = raised.value.code(), raised.value.details() or ""
        else:
            refused = await calls.refusal("ServerReady", pb.ServerReadyRequest())
            code, details = refused.code, refused.details
        assert code is Code.INTERNAL
        assert re.fullmatch(r"internal error \(request id [0-9a-f]{16}\)", details)
        assert (await calls.ask("ServerLive", pb.ServerLiveRequest())).live
    await server.stop(None)


async def live(_: Message, __: Call) -> Message:
    return pb.ServerLiveResponse(live=True)


@pytest.mark.parametrize("deadline_s", [0.001, 0.0, 0.05], ids=["G6-1 ms", "G6-0", "G6-50 ms"])
async def test_a_deadline_that_passes(server: GrpcServer, holding: HoldingRunner, deadline_s: float) -> None:
    refused = await server.calls.refusal("ModelInfer", HELD, timeout=deadline_s)
    assert refused.code is Code.DEADLINE_EXCEEDED
    await until(lambda: server.stand.inference.in_flight == 0)
    holding.release()


@pytest.mark.parametrize("deadline_s", [None, 10 * 365 * 86400.0], ids=["G6-absent", "G6-10 years"])
async def test_the_servers_own_deadline(
    holding: HoldingRunner, quiet: None, deadline_s: float | None
) -> None:
    held = served_version(identity_spec("held", max_batch_size=2), holding)
    stand = serving(served_version(identity_spec()), held, config=InferenceConfig(default_timeout=0.05))
    async with grpc_server(stand) as server:
        refused = await server.calls.refusal("ModelInfer", HELD, timeout=deadline_s)
        assert refused.code is Code.DEADLINE_EXCEEDED
        assert "deadline passed while running 'held'" in refused.details
        holding.release()
        await server.calls.assert_well()


@pytest.mark.parametrize("waves", [pytest.param(3, id="G7-three waves")])
async def test_waves_above_the_cap(holding: HoldingRunner, quiet: None, waves: int) -> None:
    held = served_version(identity_spec("held", max_batch_size=2), holding)
    stand = serving(served_version(identity_spec()), held, config=InferenceConfig(max_in_flight=2))
    async with grpc_server(stand) as server:
        for _ in range(waves):
            calls = [server.calls.start("ModelInfer", HELD) for _ in range(6)]
            outcomes = [asyncio.ensure_future(call) for call in calls]
            await until(partial(refused, outcomes, 4))
            while not all(outcome.done() for outcome in outcomes):
                holding.release()
                await asyncio.sleep(0)
            codes = [await call.code() for call in calls]
            assert sorted(code.name for code in codes) == ["OK"] * 2 + ["UNAVAILABLE"] * 4
            await asyncio.gather(*outcomes, return_exceptions=True)
        await server.calls.assert_well()


def refused(outcomes: list[asyncio.Future[Any]], count: int) -> bool:
    return sum(outcome.done() for outcome in outcomes) == count


@pytest.mark.parametrize(
    "turns", [pytest.param(0, id="G14-before the run"), pytest.param(1, id="G14-a turn later")]
)
async def test_a_cancel_before_the_run(server: GrpcServer, turns: int) -> None:
    call = server.calls.start("ModelInfer", GOOD)
    for _ in range(turns):
        await asyncio.sleep(0)
    await cancel(call)
    await until(lambda: server.stand.inference.in_flight == 0)


@pytest.mark.parametrize("rows", [1, 2], ids=["G14-during the run", "G14-during the run of a full batch"])
async def test_a_cancel_during_the_run(server: GrpcServer, holding: HoldingRunner, rows: int) -> None:
    call = server.calls.start("ModelInfer", infer_request("held", {"x": np.ones((rows, 4), np.float32)}))
    await holding.begun.wait()
    await cancel(call)
    await until(lambda: server.stand.inference.in_flight == 0)
    assert server.leases() == 0
    holding.release()


@pytest.mark.parametrize("count", [pytest.param(20, id="G14-after the run")])
async def test_a_cancel_after_the_run(server: GrpcServer, count: int) -> None:
    for _ in range(count):
        call = server.calls.start("ModelInfer", GOOD)
        await call
        call.cancel()
        assert await call.code() is Code.OK


@pytest.mark.parametrize("which", [0, 1], ids=["G14-first of a batch", "G14-second of a batch"])
async def test_a_cancel_inside_a_batch(server: GrpcServer, holding: HoldingRunner, which: int) -> None:
    first = server.calls.start("ModelInfer", HELD)
    await holding.begun.wait()
    holding.begun.clear()
    mates = [server.calls.start("ModelInfer", infer_request("held", {"x": ONES * n})) for n in (2, 3)]
    await until(lambda: server.stand.inference.in_flight == 3)
    holding.release()
    await holding.begun.wait()
    await cancel(mates[which])
    await until(lambda: server.stand.inference.in_flight == 1)
    holding.release()
    assert raw_outputs(await first) == {"y": ONES.tobytes()}
    assert raw_outputs(await mates[1 - which]) == {"y": (ONES * (3 - which)).tobytes()}


async def cancel(call: Any) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is Code.CANCELLED


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("times", [pytest.param(2, id="G14-during the run of a real graph")])
async def test_a_cancel_during_a_real_run(whole: RunningServer, calls: GrpcCalls, times: int) -> None:
    inference = whole.server.inference
    inputs: dict[str, Array] = {"x": np.ones((1, 64), np.float32)}
    [served] = inference.serving("slow", 1)
    for _ in range(times):
        call = calls.start("ModelInfer", infer_request("slow", inputs))
        await until(lambda: served.batcher.running == 1)
        await cancel(call)
        await until(lambda: inference.in_flight == 0)
        assert served.leases == 0
        # The run itself goes on to its end, and the model answers again after it.
        assert await calls.infer("slow", inputs) == {"y": inputs["x"].tobytes()}
