"""A thousand requests as large as they may be, all at once: what the server holds at most, what it answers.

    python -m benchmarks.pressure [--short]

Over HTTP against a server with a bound of 256 MiB on the payload in flight. Exits 1 when the server is gone,
when nothing was answered or nothing refused, or when its memory rose by more than four times the bound: a
request's bytes are there about three times while it is stacked, run and answered. Over gRPC, with a hundred
requests of 16 MiB, the figures are printed and not judged: gRPC receives a message before its size is known.
"""

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from benchmarks import models
from benchmarks.harness import LOAD_CORE, Running, on_core, scratch, server
from benchmarks.payloads import Payload, get_json, payload
from benchmarks.table import show

BOUND: Final = 256 * 2**20
TIMES: Final = 4
_WIDTH: Final = 4
_TIMEOUT_S: Final = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="100 requests of 16 MiB instead of 1,000 of 60")
    short = parser.parse_args().short
    count, megabytes = (100, 16) if short else (1000, 60)
    outcomes, risen = measure("http binary", count, megabytes)
    rows = [_row(f"http, {count} of {megabytes} MiB", outcomes, risen)]
    misses = []
    if not outcomes["200"] or not outcomes["503"]:
        misses.append(f"of {count} requests {outcomes['200']} were answered and {outcomes['503']} refused")
    if risen > TIMES * BOUND:
        misses.append(f"memory rose by {risen >> 20} MiB")
    rows.append(_row("grpc, 100 of 16 MiB", *measure("grpc", 100, 16)))
    show(f"{BOUND >> 20} MiB may be in flight", ["at once", "ended as", "memory rose by"], rows)
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


def _row(what: str, outcomes: Counter[str], risen: int) -> list[str]:
    ended = ", ".join(f"{kind} {outcomes[kind]}" for kind in sorted(outcomes))
    return [what, ended, f"{risen >> 20} MiB"]


def measure(wire: str, count: int, megabytes: int) -> tuple[Counter[str], int]:
    """How the requests ended, and how far resident memory rose at its highest."""
    with scratch() as directory:
        repository = directory / "models"
        models.publish(repository, "echo", models.identity(_WIDTH))
        asked = payload(wire, "echo", _WIDTH, rows=megabytes * 2**20 // (4 * _WIDTH))
        bound = ("--inference-max-in-flight-bytes", f"{BOUND}B")
        with server(repository, directory / "state", *bound) as running:
            before = running.resources().resident_bytes
            with on_core(LOAD_CORE):
                send = _over_grpc if wire == "grpc" else _over_http
                outcomes = Counter(asyncio.run(send(running, asked, count)))
            get_json(running.http_port, "/v2/health/live")  # raises when nobody answers
            return outcomes, _highest(running) - before


async def _over_http(running: Running, asked: Payload, count: int) -> list[str]:
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    first = f"POST {asked.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    sent = f"{first}{head}Content-Length: {len(asked.body)}\r\n\r\n".encode()

    async def one() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.http_port)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                writer.write(sent)
                sending = asyncio.ensure_future(_send(writer, asked.body))
                line = await reader.readline()
                sending.cancel()
                while line.split()[1] == b"200" and await reader.read(2**20):
                    pass
                return line.split()[1].decode()
        except (ConnectionError, IndexError):
            return "cut off"
        except TimeoutError:
            return "no answer"
        finally:
            writer.close()

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def _send(writer: asyncio.StreamWriter, body: bytes) -> None:
    view = memoryview(body)
    for start in range(0, len(body), 2**20):
        writer.write(view[start : start + 2**20])
        await writer.drain()


async def _over_grpc(running: Running, asked: Payload, count: int) -> list[str]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}", options) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(asked.path)

        async def one() -> str:
            try:
                await call(asked.body[5:], timeout=_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        return list(await asyncio.gather(*(one() for _ in range(count))))


def _highest(running: Running) -> int:
    for line in Path(f"/proc/{running.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system does not tell the highest memory of a process")


if __name__ == "__main__":
    sys.exit(main())
