import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import grpc
import numpy as np
import pytest

from onnxd_client import AsyncClient, Client, DeadlineExceeded, InvalidRequest, PermissionDenied, ServerError
from onnxd_protos import grpc_service_pb2 as pb
from tests.unit.client.servers import fails, grpc_server, grpc_stream_echo, http_server


def items(count: int) -> list[dict[str, Any]]:
    return [{"x": np.array([number])} for number in range(count)]


def values(results: Iterable[Any]) -> list[int]:
    return [int(result["x"][0]) for result in results]


async def collected(url: str, inputs: Any, **options: Any) -> list[Any]:
    async with AsyncClient(url) as client:
        return [result async for result in client.stream("m", inputs, **options)]


def test_results_come_in_the_order_of_the_items(url: str) -> None:
    with Client(url) as client:
        assert values(client.stream("m", items(50))) == list(range(50))


async def test_results_come_in_the_order_of_the_items_awaited(url: str) -> None:
    async def produced() -> AsyncIterator[Any]:
        for item in items(50):
            await asyncio.sleep(0)
            yield item

    assert values(await collected(url, items(50))) == list(range(50))
    assert values(await collected(url, produced())) == list(range(50))


def test_items_may_need_metadata(url: str) -> None:
    with Client(url) as client:
        found = [result["pixels"].tolist() for result in client.stream("digits", [[1], [2]])]
        assert found == [[1.0], [2.0]]


async def test_no_items_give_no_results(url: str) -> None:
    with Client(url) as client:
        assert list(client.stream("m", [])) == []
    assert await collected(url, []) == []


async def test_a_stream_with_room_for_nothing_is_refused(url: str) -> None:
    with Client(url) as client, pytest.raises(ValueError, match="in_flight is 0, expected at least 1"):
        client.stream("m", [], in_flight=0)
    with pytest.raises(ValueError, match="in_flight is 0, expected at least 1"):
        await collected(url, [], in_flight=0)


def broken() -> Iterator[Any]:
    yield from items(2)
    raise LookupError("the caller's own")


async def test_what_the_callers_items_raise_is_raised_after_the_results(url: str) -> None:
    with Client(url) as client:
        stream = client.stream("m", broken())
        assert values([next(stream), next(stream)]) == [0, 1]
        with pytest.raises(LookupError, match="the caller's own"):
            next(stream)
    async with AsyncClient(url) as other:
        awaited = other.stream("m", broken())
        assert values([await anext(awaited), await anext(awaited)]) == [0, 1]
        with pytest.raises(LookupError, match="the caller's own"):
            await anext(awaited)


async def test_an_item_that_is_no_tensor_ends_the_stream(url: str) -> None:
    bad = [*items(1), {"x": np.zeros(1, complex)}]
    with Client(url) as client, pytest.raises(InvalidRequest, match="complex128"):
        list(client.stream("m", bad))
    with pytest.raises(InvalidRequest, match="complex128"):
        await collected(url, bad)


async def test_a_stream_may_be_left_early(url: str) -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield {"x": np.array([7])}

    with Client(url) as client:
        stream = client.stream("m", endless())
        assert values([next(stream), next(stream)]) == [7, 7]
    async with AsyncClient(url) as other, aclosing(other.stream("m", endless())) as awaited:
        assert values([await anext(awaited)]) == [7]


async def test_only_so_many_items_are_unanswered() -> None:
    taken = 0

    def counted() -> Iterator[Any]:
        nonlocal taken
        for item in items(10):
            taken += 1
            yield item

    most = 0

    def slow(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        nonlocal most
        for answered, request in enumerate(requests):
            most = max(most, taken - answered)
            yield grpc_stream_echo(request)

    with grpc_server(ModelStreamInfer=slow) as server:
        with Client(server.url) as client:
            assert values(client.stream("m", counted(), in_flight=3)) == list(range(10))
        assert most <= 3
        taken = 0
        assert values(await collected(server.url, counted(), in_flight=3)) == list(range(10))
        assert most <= 3


async def test_several_answers_to_an_item_are_all_given_and_the_empty_last_is_not() -> None:
    def twice(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        for request in requests:
            for _ in range(2):
                reply = grpc_stream_echo(request)
                reply.infer_response.parameters["triton_final_response"].bool_param = False
                yield reply
            last = pb.ModelStreamInferResponse()
            last.infer_response.parameters["triton_final_response"].bool_param = True
            yield last

    with grpc_server(ModelStreamInfer=twice) as server:
        with Client(server.url) as client:
            assert values(client.stream("m", items(3), in_flight=1)) == [0, 0, 1, 1, 2, 2]
        assert values(await collected(server.url, items(3), in_flight=1)) == [0, 0, 1, 1, 2, 2]


async def test_an_error_in_the_stream_ends_it() -> None:
    def second_fails(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        yield grpc_stream_echo(next(requests))
        next(requests)
        yield pb.ModelStreamInferResponse(error_message="no such model")

    with grpc_server(ModelStreamInfer=second_fails) as server:
        with Client(server.url) as client:
            stream = client.stream("m", items(9))
            assert values([next(stream)]) == [0]
            with pytest.raises(ServerError, match="no such model"):
                next(stream)
        with pytest.raises(ServerError, match="no such model"):
            await collected(server.url, items(9))
        assert server.calls[0][1]["triton_grpc_error"] == "true"


async def test_a_stream_that_ends_with_a_code_raises_its_error() -> None:
    def refused(_: Any, context: Any) -> Iterator[Any]:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not so")
        yield

    with grpc_server(ModelStreamInfer=refused) as rpc, http_server(fails(400), fails(400)) as http:
        for server in (rpc, http):
            with Client(server.url) as client, pytest.raises(InvalidRequest):
                list(client.stream("m", items(3)))
            with pytest.raises(InvalidRequest):
                await collected(server.url, items(3))


async def test_the_deadline_is_for_the_whole_stream() -> None:
    def silent(_: Any, context: Any) -> Iterator[Any]:
        done = threading.Event()
        context.add_callback(done.set)
        done.wait(10)
        yield from ()

    with grpc_server(ModelStreamInfer=silent) as server:
        with Client(server.url) as client, pytest.raises(DeadlineExceeded):
            list(client.stream("m", items(1), deadline=0.1))
        with pytest.raises(DeadlineExceeded):
            await collected(server.url, items(1), deadline=0.1)


def test_a_stream_over_http_tries_a_busy_server_again() -> None:
    with http_server(fails(503), fails(503)) as server:
        with Client(server.url, sleep=lambda _: None) as client:
            assert values(client.stream("m", items(2))) == [0, 1]
        assert len(server.requests) == 4


async def test_the_servers_code_is_kept_while_items_are_still_being_sent() -> None:
    def refused_late(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        yield grpc_stream_echo(next(requests))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no more")

    with grpc_server(ModelStreamInfer=refused_late) as server:
        async with AsyncClient(server.url) as client:
            for _ in range(50):
                with pytest.raises(PermissionDenied, match=r"^no more$"):
                    async for _ in client.stream("m", [{"x": np.zeros(1000)}] * 20):
                        pass


async def test_a_stream_that_fails_stops_waiting_for_the_next_item() -> None:
    closed = asyncio.Event()

    async def waiting() -> AsyncIterator[Any]:
        try:
            yield items(1)[0]
            await asyncio.Event().wait()
        finally:
            closed.set()

    def refused(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        yield grpc_stream_echo(next(requests))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no more")

    with grpc_server(ModelStreamInfer=refused) as server, pytest.raises(PermissionDenied):
        await collected(server.url, waiting())
    assert closed.is_set()
