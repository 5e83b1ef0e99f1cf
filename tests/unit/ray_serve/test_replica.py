"""A replica by itself: its lifespan, and what Ray calls on it, without Ray."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from onnxd.ray_serve.devices import DevicesUnusable
from onnxd.ray_serve.figures import BUSY, QUEUE_TIME, WAITING
from onnxd.ray_serve.grpc_calls import CallEnded
from onnxd.ray_serve.replica import ModelsFailed, Replica
from onnxd.ray_serve.settings import replica_settings
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.graphs import add_one
from tests.support.grpc_server import ONES, infer_request, raw_outputs
from tests.support.server import publish

Message = MutableMapping[str, Any]
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 1, 1, 1]}]}


class RayContext:
    """What Ray gives a call."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.trailers: list[tuple[str, str | bytes]] = []

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("x-request-id", "mine")]

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1234"

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, metadata: list[tuple[str, str | bytes]]) -> None:
        self.trailers = metadata


async def nobody_else() -> list[Any]:
    return []


def replica_of(room: Path, **settings: Any) -> Replica:
    named = {"model_repository": str(room / "models"), "state_dir": str(room / "state"), **settings}
    return Replica(replica_settings({"settings": named}, {}), "first", {"CPU": 1.0}, nobody_else)


@contextlib.asynccontextmanager
async def living(replica: Replica) -> AsyncIterator[None]:
    """As an ASGI server begins and ends an application."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(replica({"type": "lifespan"}, heard.get, said.put))
        heard.put_nowait({"type": "lifespan.startup"})
        assert await said.get() == {"type": "lifespan.startup.complete"}
        yield
        heard.put_nowait({"type": "lifespan.shutdown"})
        assert await said.get() == {"type": "lifespan.shutdown.complete"}


async def post(replica: Replica, path: str, document: Any, prefix: str = "") -> tuple[int, Any]:
    body = json.dumps(document).encode()
    scope = {
        "type": "http", "method": "POST", "raw_path": (prefix + path).encode(), "root_path": prefix,
        "query_string": b"", "headers": [(b"content-length", str(len(body)).encode())],
    }  # fmt: skip
    answered: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        answered.append(message)

    await replica(scope, receive, send)
    start, *parts = answered
    return start["status"], json.loads(b"".join(part["body"] for part in parts))


async def sent(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def test_a_replica_answers_while_it_lives(tmp_path: Path) -> None:
    publish(tmp_path / "models", "rows", 1, add_one(), "max_batch_size: 8\n")
    replica = replica_of(tmp_path)
    good, bad = infer_request("rows", {"x": ONES}), infer_request("none", {"x": ONES})
    assert not replica.is_open()
    async with living(replica):
        assert replica.is_open()
        assert replica.figures() == {WAITING: 0.0, QUEUE_TIME: 0.0, BUSY: 0.0}

        status, document = await post(replica, "/v2/models/rows/infer", BODY)
        assert (status, document["outputs"][0]["data"]) == (200, [2.0, 2.0, 2.0, 2.0])
        status, document = await post(replica, "/v2/models/none/infer", BODY, prefix="/under")
        assert (status, list(document)) == (404, ["error"])

        context = RayContext()
        answer = await replica.unary("ModelInfer", good.SerializeToString(), context)
        outputs = raw_outputs(pb.ModelInferResponse.FromString(answer.SerializeToString()))
        assert outputs == {"y": (ONES + 1).tobytes()}
        assert (context.code, context.trailers) == (None, [("x-request-id", "mine")])

        context = RayContext()
        assert (
            await replica.unary("ModelInfer", bad.SerializeToString(), context)
        ).SerializeToString() == b""
        assert context.code is grpc.StatusCode.NOT_FOUND
        assert "'none'" in context.details

        messages = sent(good.SerializeToString(), bad.SerializeToString())
        answers = [each async for each in replica.stream("ModelStreamInfer", messages, RayContext())]
        read = [pb.ModelStreamInferResponse.FromString(each.SerializeToString()) for each in answers]
        assert [bool(each.error_message) for each in read] == [False, True]

        [row] = replica.statistics()
        assert (row.name, row.counters.success.count) == ("rows", 3)

    assert not replica.is_open()
    assert (await post(replica, "/v2/models/rows/infer", BODY))[0] == 503
    context = RayContext()
    await replica.unary("ModelInfer", good.SerializeToString(), context)
    assert context.code is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(CallEnded):
        [each async for each in replica.stream("ModelStreamInfer", sent(), RayContext())]
    assert (replica.figures(), replica.statistics()) == ({}, ())


async def test_a_model_that_does_not_load_may_keep_a_replica_from_starting(tmp_path: Path) -> None:
    publish(tmp_path / "models", "broken", 1, b"this is no graph")
    with pytest.raises(ExceptionGroup) as failed:
        async with asyncio.timeout(30), living(replica_of(tmp_path, exit_on_error=True)):
            raise AssertionError("it started")
    assert failed.group_contains(ModelsFailed, match="model 'broken'.*exit_on_error")


def test_a_replica_with_a_share_of_a_gpu_that_it_cannot_use_is_none() -> None:
    with pytest.raises(DevicesUnusable, match="num_gpus"):
        Replica(replica_settings({}, {}), "first", {"CPU": 1.0, "GPU": 0.5}, nobody_else)
