"""A load generator in Python, for machines without wrk and h2load.

python -m benchmarks.load_client WIRE PORT PATH BODY_FILE HEADERS_JSON IN_FLIGHT SECONDS
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
import uvloop

from benchmarks.latencies import summary

_MOST_CHANNELS = 8

Ask = Callable[[], Awaitable[bool]]


async def http_client(port: int, path: str, body: bytes, headers: dict[str, str]) -> Ask:
    """A connection of its own; an answer is read by its Content-Length."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    message = head.encode() + body

    async def ask() -> bool:
        writer.write(message)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        return answer.startswith(b"HTTP/1.1 200")

    return ask


def grpc_client(channel: grpc.aio.Channel, path: str, message: bytes, headers: dict[str, str]) -> Ask:
    """Calls on a channel."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    metadata = tuple(headers.items())

    async def ask() -> bool:
        try:
            await call(message, metadata=metadata)
        except grpc.aio.AioRpcError:
            return False
        return True

    return ask


async def main(arguments: list[str], content: bytes) -> None:
    """Keep the requests in flight, and print what came back."""
    wire, port, path, _, headers = arguments[:5]
    in_flight, seconds = int(arguments[5]), float(arguments[6])
    failed = 0
    latencies: list[float] = []

    async def repeat(ask: Ask, end_s: float) -> None:
        nonlocal failed
        while (start_s := time.monotonic()) < end_s:
            good = await ask()
            failed += not good
            latencies.append(time.monotonic() - start_s)

    async with AsyncExitStack() as resources:
        clients: list[Ask] = []
        if wire == "grpc":
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels = [
                await resources.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}", options))
                for _ in range(min(in_flight, _MOST_CHANNELS))
            ]
            clients = [
                grpc_client(channels[at % len(channels)], path, content[5:], json.loads(headers))
                for at in range(in_flight)
            ]
        else:
            clients = [
                await http_client(int(port), path, content, json.loads(headers)) for _ in range(in_flight)
            ]
        end_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(repeat(client, end_s))
    print("RESULT", json.dumps(summary(latencies, failed)))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1:], Path(sys.argv[4]).read_bytes()))
