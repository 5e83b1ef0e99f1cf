"""S5: clients that leave: gRPC cancels, connections that are reset or half closed, short deadlines."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from benchmarks import models
from benchmarks.harness import server
from benchmarks.payloads import JSON_LENGTH_HEADER, Payload, output_of, payload
from benchmarks.soak.verdict import BETWEEN_S, Verdict, at_rest, gauge
from onnxd_protos.grpc_service_pb2 import ModelInferRequest

CLIENTS: Final = 32
LEAVES: Final = 0.2
SHORT_DEADLINE: Final = 0.05
MEMORY_LIMIT: Final = 1.02
_WIDTH: Final = 4
_LONGEST_STAY_S: Final = 0.004
_WARM: Final = 0.2
"""Of all requests, before memory counts."""
_ROOM: Final = 4
"""Descriptors that may come and go."""


async def run(directory: Path, requests: int, seconds: float, between_s: float = BETWEEN_S) -> Verdict:
    """So many requests, and for no longer than that."""
    verdict = Verdict(f"cancels: {requests} requests or {seconds:g} s, {CLIENTS} clients")
    models.publish(directory / "models", "m", models.identity(_WIDTH), models.BATCHED)
    with server(directory / "models", directory / "state") as running:
        counts: Counter[str] = Counter()
        await _phase(running.http_port, running.grpc_port, int(requests * _WARM), seconds * _WARM, counts)
        before = await at_rest(running, between_s)
        await _phase(running.http_port, running.grpc_port, requests, seconds, counts)
        after = await at_rest(running, between_s)
        for what, count in sorted(counts.items()):
            verdict.show(what, count)
        for name in (
            "onnxd_in_flight_requests",
            "nv_inference_pending_request_count",
            "onnxd_instances_busy",
        ):
            left = gauge(running.http_port, name)
            verdict.show(name, left)
            verdict.expect(left == 0, f"{name} is {left:g} when nobody asks")
        ratio = after.resident_bytes / before.resident_bytes
        verdict.show("memory after / before", f"{100 * ratio:.1f} %")
        verdict.show("descriptors before, after", f"{before.descriptors}, {after.descriptors}")
        verdict.expect(
            counts["wrong"] == 0, f"{counts['wrong']} requests that stayed were not answered right"
        )
        verdict.expect(counts["right"] > 0, "nothing was answered")
        verdict.expect(
            after.descriptors <= before.descriptors + _ROOM,
            f"descriptors grew from {before.descriptors} to {after.descriptors}",
        )
        verdict.expect_figure(ratio <= MEMORY_LIMIT, f"memory grew to {100 * ratio:.1f} %")
    return verdict


async def _phase(http_port: int, grpc_port: int, requests: int, seconds: float, counts: Counter[str]) -> None:
    left = iter(range(requests))
    chance = random.Random(requests)
    async with AsyncExitStack() as resources:
        channels = [
            await resources.enter_async_context(
                grpc.aio.insecure_channel(
                    f"127.0.0.1:{grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
                )
            )
            for _ in range(4)
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for at in range(CLIENTS):
                    if at % 2:
                        tasks.create_task(_by_http(http_port, left, chance, counts))
                    else:
                        tasks.create_task(_by_grpc(channels[at // 2 % len(channels)], left, chance, counts))


async def _by_grpc(
    channel: grpc.aio.Channel, left: Iterator[int], chance: random.Random, counts: Counter[str]
) -> None:
    asked = payload("grpc", "m", _WIDTH)
    ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(asked.path)
    expected = _row_of(asked)
    for _ in left:
        leaves, hurries = chance.random() < LEAVES, chance.random() < SHORT_DEADLINE
        call = ask(asked.body[5:], timeout=0.001 if hurries else 30)
        if leaves:
            await asyncio.sleep(chance.uniform(0, _LONGEST_STAY_S))
            call.cancel()
        try:
            right = output_of(await call).tolist() == expected
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            counts["cancelled"] += 1
            continue
        except grpc.aio.AioRpcError as error:
            if hurries and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                counts["too late"] += 1
                continue
            counts[f"error {error.code().name}"] += 1
            right = False
        counts["right" if right else "wrong"] += 1


async def _by_http(port: int, left: Iterator[int], chance: random.Random, counts: Counter[str]) -> None:
    asked = payload("http binary", "m", _WIDTH)
    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    message = (
        f"POST {asked.path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(asked.body)}\r\n\r\n"
    ).encode() + asked.body
    row = asked.body[int(asked.headers[JSON_LENGTH_HEADER]) :]
    connection = Connection(port)
    try:
        for _ in left:
            leaves = chance.random() < LEAVES
            reader, writer = await connection.streams()
            in_the_middle = leaves and chance.random() < 0.3
            writer.write(message[: chance.randrange(1, len(message))] if in_the_middle else message)
            if leaves:
                await asyncio.sleep(chance.uniform(0, _LONGEST_STAY_S))
                counts[connection.leave(chance)] += 1
                continue
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            counts["right" if head.startswith(b"HTTP/1.1 200") and body.endswith(row) else "wrong"] += 1
    finally:
        connection.close()


class Connection:
    """One client's, and the next when it has left."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams

    def leave(self, chance: random.Random) -> str:
        """In one of two ways; which."""
        how = "reset" if chance.random() < 0.5 else "half closed"
        if self._streams is not None:
            _, writer = self._streams
            if how == "reset":
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.write_eof()
        self.close()
        return how

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _row_of(asked: Payload) -> list[float]:
    """What the identity answers to a gRPC request."""
    (raw,) = ModelInferRequest.FromString(asked.body[5:]).raw_input_contents
    return list(memoryview(raw).cast("f"))
