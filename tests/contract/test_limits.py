"""Limits, on both sides: what is just within passes, and one more is refused, over both protocols."""

import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np
import pytest

from onnxd.http_frontend.config import HttpConfig
from onnxd.protocol.limits import ProtocolLimits
from onnxd.tensors import Datatype
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import grpc_server, infer_request
from tests.support.http_server import INFER, HttpServer, http_server
from tests.support.raw_http import RawConnection, connect, request_bytes
from tests.support.serving import identity_spec, served_version, serving, tensor
from tests.support.until import until

PATH: Final = "/v2/models/identity/infer"

Message = pb.ModelInferRequest
Document = dict[str, Any]


def document(model: str = "identity", **changes: Any) -> Document:
    if model == "text":
        tensors = [{"name": "x", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]}]
    else:
        tensors = [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]
    return {"inputs": tensors, **changes}


def message(model: str = "identity") -> Message:
    if model == "text":
        return infer_request("text", {"x": np.array([["a", "b"]], np.object_)})
    return infer_request("identity", {"x": np.ones((1, 4), np.float32)})


def changed(change: Callable[[Message], object], model: str = "identity") -> Message:
    request = message(model)
    change(request)
    return request


def with_shape(*shape: int) -> Document:
    return {"inputs": [{**document()["inputs"][0], "shape": shape}]}


def set_shape(request: Message, *shape: int) -> None:
    request.inputs[0].shape[:] = shape


def set_parameters(request: Message, names: str) -> None:
    for name in names:
        request.parameters[name].int64_param = 1


def three_words(request: Message) -> None:
    request.inputs[0].shape[:] = (1, 3)
    request.raw_input_contents[0] += b"\1\0\0\0c"


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit set to just what `at` has, and a request with one more."""

    limits: Mapping[str, int]
    named: str
    """In the refusal."""
    at: Document | None = field(default_factory=document)
    over: Document | None = None
    grpc_at: Message | None = field(default_factory=message)
    grpc_over: Message | None = None
    model: str = "identity"
    status: int = 400


ONE_MORE: Final = {"name": "z", "shape": [1], "datatype": "FP32", "data": [1]}
BOUNDS: Final[dict[str, Bound]] = {
    "limits.max_json_bytes": Bound(
        {"max_json_bytes": len(json.dumps(document()))},
        "more than the",
        over=document(id=""),
        status=413,
    ),
    "limits.max_rank": Bound(
        {"max_rank": 2},
        "at most 2 dimensions",
        over=with_shape(1, 1, 4),
        grpc_over=changed(lambda request: set_shape(request, 1, 1, 4)),
    ),
    "limits.max_bytes_elements": Bound(
        {"max_bytes_elements": 2},
        "at most 2 BYTES elements",
        at=document("text"),
        over={"inputs": [{**document("text")["inputs"][0], "shape": [1, 3], "data": ["a", "b", "c"]}]},
        grpc_at=message("text"),
        grpc_over=changed(three_words, "text"),
        model="text",
    ),
    "limits.max_inputs": Bound(
        {"max_inputs": 1},
        "at most 1 inputs",
        over={"inputs": [*document()["inputs"], ONE_MORE]},
        grpc_over=changed(lambda request: request.inputs.add(name="z")),
    ),
    "limits.max_outputs": Bound(
        {"max_outputs": 1},
        "at most 1 outputs",
        at=document(outputs=[{"name": "y"}]),
        over=document(outputs=[{"name": "y"}, {"name": "z"}]),
        grpc_at=changed(lambda request: request.outputs.add(name="y")),
        grpc_over=changed(lambda request: [request.outputs.add(name=name) for name in "yz"]),
    ),
    "limits.max_parameters": Bound(
        {"max_parameters": 1},
        "at most 1 parameters",
        at=document(parameters={"a": 1}),
        over=document(parameters={"a": 1, "b": 1}),
        grpc_at=changed(lambda request: set_parameters(request, "a")),
        grpc_over=changed(lambda request: set_parameters(request, "ab")),
    ),
    "limits.max_id_bytes": Bound(
        {"max_id_bytes": 4},
        "at most 4 bytes",
        at=document(id="é12"),
        over=document(id="éé1"),
        grpc_at=changed(lambda request: setattr(request, "id", "é12")),
        grpc_over=changed(lambda request: setattr(request, "id", "éé1")),
    ),
    "a dimension": Bound(
        {},
        f"an integer from 0 to {2**31 - 1}",
        over=with_shape(1, 2**31),
        grpc_over=changed(lambda request: set_shape(request, 1, 2**31)),
    ),
    "elements of a tensor": Bound(
        {},
        "more elements than any request can hold",
        over=with_shape(2**31 - 1, 2**18),
        grpc_over=changed(lambda request: set_shape(request, 2**31 - 1, 2**18)),
    ),
}


@pytest.mark.parametrize("limit", BOUNDS)
async def test_a_request_is_taken_up_to_a_limit_and_refused_beyond(limit: str) -> None:
    bound = BOUNDS[limit]
    words = identity_spec("text", inputs=[tensor("x", -1, datatype=Datatype.BYTES)])
    models = serving(served_version(identity_spec()), served_version(words))
    limits = ProtocolLimits(**bound.limits)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(http_server(models, limits=limits))
        calls = (await stack.enter_async_context(grpc_server(models, limits=limits))).calls
        taken = await http.infer(bound.at, bound.model)
        assert taken.status == 200, taken.body
        refused = await http.infer(bound.over, bound.model)
        assert refused.status == bound.status
        assert bound.named in refused.error
        if bound.grpc_over is not None:
            assert bound.grpc_at is not None
            await calls.ask("ModelInfer", bound.grpc_at)
            refusal = await calls.refusal("ModelInfer", bound.grpc_over)
            assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
            assert bound.named in refusal.details
        await http.assert_well()


async def test_json_is_taken_up_to_its_depth() -> None:
    models = serving(served_version(identity_spec()))
    async with http_server(models, limits=ProtocolLimits(max_json_depth=3)) as server:
        assert (await server.post("/infer", b'{"inputs": [[1, 2, 3, 4]]}')).status == 200
        answer = await server.post("/infer", b'{"inputs": [[[1, 2, 3, 4]]]}')
        assert answer.status == 400
        assert "maximum of 3 levels" in answer.error


LINE: Final = 8190
HEADERS: Final = 128


@pytest.mark.parametrize(
    ("within", "over"),
    [
        pytest.param(
            {"X-Long": "a" * (LINE - len("X-Long"))}, {"X-Long": "a" * (LINE + 1)}, id="bytes-of-a-header"
        ),
        pytest.param(
            {f"X-{number}": "a" for number in range(HEADERS - 2)},
            {f"X-{number}": "a" for number in range(HEADERS)},
            id="headers",
        ),
    ],
)
async def test_a_head_is_taken_up_to_its_bounds(within: Mapping[str, str], over: Mapping[str, str]) -> None:
    async with http_server(serving(served_version(identity_spec()))) as server:
        assert (await server.get("/v2/health/live", within)).status == 200
        assert (await server.get("/v2/health/live", over)).status == 400


async def test_a_target_is_taken_up_to_its_bound() -> None:
    async with http_server(serving(served_version(identity_spec()))) as server:
        assert (await server.get("/v2/health/live?" + "a" * 8000)).status == 200
        assert (await server.get("/v2/health/live?" + "a" * LINE)).status == 400


async def answers(connection: RawConnection) -> int:
    await connection.send(request_bytes("GET", "/v2/health/live"))
    return (await connection.answer()).status


async def test_an_address_has_no_more_connections_than_it_may() -> None:
    config = HttpConfig(port=0, max_connections_per_address=2)
    async with http_server(serving(served_version(identity_spec())), config) as server:
        async with connect(server.port) as first:
            async with connect(server.port) as second:
                assert [await answers(first), await answers(second)] == [200, 200]
                for _ in range(3):
                    await refused(server)
                assert await answers(first) == 200
            await until(lambda: server.frontend.open_connections == 1)
            async with connect(server.port) as third:
                assert await answers(third) == 200
                await refused(server)
        await until(lambda: server.frontend.open_connections == 0)
        assert (await server.post(PATH, INFER)).status == 200


async def refused(server: HttpServer) -> None:
    """A connection that is answered before it asks anything, and closed."""
    async with connect(server.port) as connection:
        answer = await connection.answer()
        await connection.closed()
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.closes
    assert "http.max_connections_per_address" in answer.error
