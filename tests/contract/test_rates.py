"""Callers that ask too much, over both protocols: who is refused, how, and when they may come again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from onnxd.security.gate import Gate
from onnxd.security.rate_config import RateConfig
from onnxd.security.rates import Rates
from onnxd_client import AsyncClient
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.services import NEURAL_SERVICE
from tests.support.grpc_server import ONES, GrpcServer, grpc_server, infer_request
from tests.support.http_server import INFER, HttpServer, http_server
from tests.support.raw_http import connect
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version, serving
from tests.support.until import until

INFER_PATH: Final = "/v2/models/identity/infer"
INFER_ONE: Final = json.dumps(
    {"inputs": [{"name": "x", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
).encode()
RARE: Final = RateConfig(per_second=0.01, burst=2)


@dataclass(frozen=True, slots=True)
class Stand:
    http: HttpServer
    grpc: GrpcServer
    runner: HoldingRunner
    models: Serving

    def refused(self, reason: str) -> int:
        return self.models.refusals.snapshot()[reason]


@asynccontextmanager
async def limited(config: RateConfig) -> AsyncIterator[Stand]:
    """Both front ends behind one gate; the model `held` does not end a run by itself."""
    held = identity_spec("held", max_batch_size=0)
    runner = HoldingRunner(held)
    models = serving(served_version(identity_spec()), served_version(held, runner))
    gate = Gate(rates=Rates(config))
    async with http_server(models, gate=gate) as http, grpc_server(models, gate=gate) as calls:
        yield Stand(http, calls, runner, models)


def retry_delay_s(error: grpc.aio.AioRpcError) -> float:
    """What RetryInfo says."""
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())
    info = RetryInfo()
    assert Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    seconds: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return seconds


async def test_over_its_rate_a_caller_is_answered_429_with_the_time_to_wait() -> None:
    async with limited(RARE) as stand:
        answers = [await stand.http.post(INFER_PATH, INFER) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        wait_s = int(answers[-1].headers["retry-after"])
        assert 90 <= wait_s <= 100
        assert answers[-1].headers["ratelimit-policy"] == '"rate";q=2;w=200'
        assert answers[-1].headers["ratelimit"] == f'"rate";r=0;t={wait_s}'
        assert "this address has asked more often than it may" in answers[-1].json()["error"]
        assert stand.refused("RateLimited") == 1


async def test_a_caller_is_told_what_it_has_left_with_each_answer() -> None:
    async with limited(RARE) as stand:
        answers = [await stand.http.post(INFER_PATH, INFER) for _ in range(2)]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"rate";q=2;w=200'}
        assert [answer.headers["ratelimit"] for answer in answers] == ['"rate";r=1;t=100', '"rate";r=0;t=200']


async def test_it_is_told_beside_what_it_did_wrong_and_over_aiohttp_too() -> None:
    async with limited(RARE) as stand:
        wrong = await stand.http.post(INFER_PATH, b"{}")
        assert (wrong.status, wrong.headers["ratelimit"]) == (400, '"rate";r=1;t=100')
        simple = await stand.http.post("/v2/models/identity/generate", b"{}")
        assert (simple.status, simple.headers["ratelimit"]) == (400, '"rate";r=0;t=200')


async def test_who_has_no_rate_is_told_of_none() -> None:
    async with limited(RateConfig(max_in_flight=2)) as stand:
        answer = await stand.http.post(INFER_PATH, INFER)
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_over_its_rate_a_call_is_resource_exhausted_with_the_time_to_wait() -> None:
    async with limited(RARE) as stand:
        for _ in range(2):
            await stand.grpc.calls.infer("identity", {"x": ONES})
        refused = await stand.grpc.calls.refusal("ModelInfer", infer_request("identity", {"x": ONES}))
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 90 <= retry_delay_s(refused.error) <= 100
        assert stand.refused("RateLimited") == 1


async def test_the_share_is_one_over_both_protocols() -> None:
    async with limited(RARE) as stand:
        await stand.grpc.calls.infer("identity", {"x": ONES})
        assert (await stand.http.post(INFER_PATH, INFER)).status == 200
        assert (await stand.http.post(INFER_PATH, INFER)).status == 429


@pytest.mark.parametrize(
    "path", ["/v2/models/identity/versions/1/infer", "/v2/models/identity/generate", "/infer"]
)
async def test_every_way_to_ask_counts(path: str) -> None:
    async with limited(RARE) as stand:
        for _ in range(2):
            assert (await stand.http.post(INFER_PATH, INFER)).status == 200
        assert (await stand.http.post(path, INFER)).status == 429
        calls = stand.grpc.calls
        refused = await calls.refusal("Infer", b"", service=NEURAL_SERVICE)
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_questions_that_are_no_inference_are_not_counted() -> None:
    async with limited(RARE) as stand:
        for _ in range(20):
            assert (await stand.http.get("/v2/models/identity")).status == 200
            assert (await stand.grpc.calls.ask("ServerLive", pb.ServerLiveRequest())).live
        assert (await stand.http.post(INFER_PATH, INFER)).status == 200


async def test_each_message_of_a_stream_counts_and_one_too_many_does_not_end_it() -> None:
    async with limited(RARE) as stand:
        stream = stand.grpc.calls.stream()
        texts = []
        for _ in range(3):
            await stream.write(infer_request("identity", {"x": ONES}))
            texts.append((await stream.read()).error_message)
        await stream.done_writing()
        assert texts[:2] == ["", ""]
        assert "asked more often than it may" in texts[2]
        assert await stream.code() is grpc.StatusCode.OK


async def test_a_refusal_comes_before_the_body_is_read() -> None:
    async with limited(RARE) as stand:
        for _ in range(2):
            await stand.http.post(INFER_PATH, INFER)
        async with connect(stand.http.port) as connection:
            await connection.send(
                f"POST {INFER_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n".encode()
            )
            assert (await connection.answer()).status == 429


async def test_a_refusal_comes_before_the_message_is_parsed() -> None:
    async with limited(RARE) as stand:
        for _ in range(2):
            await stand.grpc.calls.infer("identity", {"x": ONES})
        refused = await stand.grpc.calls.refusal("ModelInfer", b"\xff")
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_requests_in_progress_are_capped_over_both_protocols() -> None:
    async with limited(RateConfig(max_in_flight=2)) as stand:
        by_http = asyncio.ensure_future(stand.http.post("/v2/models/held/infer", INFER_ONE))
        by_grpc = asyncio.ensure_future(stand.grpc.calls.infer("held", {"x": ONES[0]}))
        await until(lambda: stand.models.inference.in_flight == 2)
        assert (await stand.http.post(INFER_PATH, INFER)).status == 429
        refused = await stand.grpc.calls.refusal("ModelInfer", infer_request("identity", {"x": ONES}))
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED

        def both_have_ended() -> bool:
            stand.runner.release()
            return by_http.done() and by_grpc.done()

        await until(both_have_ended)
        assert (await by_http).status == 200
        await by_grpc
        assert (await stand.http.post(INFER_PATH, INFER)).status == 200


async def test_a_client_that_goes_away_gives_its_share_back() -> None:
    async with limited(RateConfig(max_in_flight=1)) as stand:
        async with connect(stand.http.port) as connection:
            await connection.send(_post("/v2/models/held/infer", INFER_ONE))
            await stand.runner.begun.wait()
        call = stand.grpc.calls.start("ModelInfer", infer_request("held", {"x": ONES[0]}))
        call.cancel()
        await until(lambda: stand.models.inference.in_flight == 0)

        async def there_is_room() -> bool:
            return (await stand.http.post(INFER_PATH, INFER)).status == 200

        await until(there_is_room)


async def test_a_full_model_is_unavailable_to_all_and_others_are_not() -> None:
    async with limited(RateConfig(models={"held": 1})) as stand:
        first = asyncio.ensure_future(stand.http.post("/v2/models/held/infer", INFER_ONE))
        await stand.runner.begun.wait()
        second = await stand.http.post("/v2/models/held/infer", INFER_ONE)
        assert second.status == 503
        assert int(second.headers["retry-after"]) >= 1
        assert "rate.models" in second.json()["error"]
        refused = await stand.grpc.calls.refusal("ModelInfer", infer_request("held", {"x": ONES[0]}))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert retry_delay_s(refused.error) > 0
        assert (await stand.http.post(INFER_PATH, INFER)).status == 200
        stand.runner.release()
        assert (await first).status == 200


@pytest.mark.parametrize("wire", ["http", "grpc"])
async def test_our_client_waits_as_long_as_it_is_told(wire: str) -> None:
    """And so one refusal is all that it needs."""
    async with limited(RateConfig(per_second=4.0, burst=1)) as stand:
        url = f"http://127.0.0.1:{stand.http.port}" if wire == "http" else f"grpc://{stand.grpc.address}"
        async with AsyncClient(url) as client:
            for _ in range(2):
                await client.infer("identity", {"x": ONES})
        assert stand.refused("RateLimited") == 1


def _post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
