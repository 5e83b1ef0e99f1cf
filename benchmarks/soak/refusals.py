"""S9: every kind of refusal, again and again: memory stays, and each costs little."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from benchmarks import models
from benchmarks.harness import Running, server
from benchmarks.payloads import GRPC_METHOD, payload
from benchmarks.soak.verdict import BETWEEN_S, Verdict, at_rest

HEADS_LIMIT: Final = 1 << 20
BODIES_LIMIT: Final = 32 << 20
CPU_LIMIT_S: Final = 0.002
_WARM: Final = 100
_PATH: Final = "/v2/models/m/infer"
_LENGTH: Final = "Inference-Header-Content-Length"
_GOOD: Final = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
).encode()


@dataclass(frozen=True, slots=True)
class Row:
    """One bad request."""

    name: str
    message: bytes
    statuses: tuple[int, ...]
    has_body: bool = False
    """Its growth is bounded as that of bodies."""


def _request(
    body: bytes = b"", headers: Mapping[str, str] | None = None, path: str = _PATH, method: str = "POST"
) -> bytes:
    given = {"Host": "localhost", "Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _chunked(chunks: int) -> bytes:
    head = f"POST {_PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"1\r\n \r\n" * chunks + b"0\r\n\r\n"


_BOMB: Final = gzip.compress(bytes(10**8), 1)
ROWS: Final = (
    Row("A1 two lengths of a body", _request(b"{}", {"Transfer-Encoding": "chunked"}), (400,)),
    Row("A4 a bare line feed", b"GET /v2 HTTP/1.1\nHost: x\n\n", (400,)),
    Row("A7 not HTTP at all", b"\x16\x03\x01\x02\x00" + bytes(64), (400,)),
    Row("A8 a header too long", _request(headers={"X-Long": "a" * 9000}), (400,)),
    Row("A12 70,000 chunks", _chunked(70_000), (400,), has_body=True),
    Row("A15 a wrong length of JSON", _request(_GOOD, {_LENGTH: "99999999999"}), (400,)),
    Row("A18 a bomb of 100 MB", _request(_BOMB, {"Content-Encoding": "gzip"}), (413,), has_body=True),
    Row("A19 not gzip", _request(b"nothing" * 100, {"Content-Encoding": "gzip"}), (400,), has_body=True),
    Row("A22 an unknown encoding", _request(b"x", {"Content-Encoding": "zipx"}), (415,)),
    Row("A27 a method that is not there", _request(method="DELETE"), (405,)),
    Row("A28 a body too large", _request(headers={"Content-Length": str(10**9)}), (413,)),
    Row("B1 a name that is none", _request(_GOOD, path="/v2/models/..%2f..%2fetc/infer"), (400,)),
    Row("B7 a model that is not there", _request(_GOOD, path="/v2/models/nothing/infer"), (404,)),
    Row("B8 a path that is none", _request(path="/v2/nothing/at/all"), (404,)),
    Row("C1 no JSON", _request(b"{" * 1000), (400,)),
    Row("C2 JSON 100,000 deep", _request(b"[" * 100_000 + b"]" * 100_000), (400,), has_body=True),
    Row("C9 too few values", _request(_GOOD.replace(b"[1, 2, 3, 4]", b"[1, 2, 3]")), (400,)),
    Row("D2 a tail that is no tensor's", _request(_GOOD + bytes(99), {_LENGTH: str(len(_GOOD))}), (400,)),
    Row("E2 a shape that wraps", _request(_GOOD.replace(b"[1, 4]", b"[8589934592, 8589934592]")), (400,)),
)


async def run(directory: Path, count: int, seconds: float, between_s: float = BETWEEN_S) -> Verdict:
    """Each row so often, or for its share of the time."""
    verdict = Verdict(f"refusals: each {count} times, or {seconds:g} s in all")
    models.publish(directory / "models", "m", models.identity(), models.BATCHED)
    with server(directory / "models", directory / "state", "--log-level", "error") as running:
        address = f"127.0.0.1:{running.grpc_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            asks: list[tuple[str, Callable[[], Awaitable[object]], tuple[object, ...], bool]] = [
                (row.name, _sender(running.http_port, row.message), row.statuses, row.has_body)
                for row in ROWS
            ]
            invalid = (grpc.StatusCode.INVALID_ARGUMENT,)
            unknown = payload("grpc", "nothing", 4).body[5:]
            asks.append(("G4 not a message", _caller(channel, b"\xff" * 100), invalid, False))
            missing = (grpc.StatusCode.NOT_FOUND,)
            asks.append(("B7 an unknown model, gRPC", _caller(channel, unknown), missing, False))
            share_s = seconds / len(asks)
            for name, ask, expected, has_body in asks:
                await _row(
                    running, verdict, name, ask, expected, count, share_s, between_s, has_body=has_body
                )
        verdict.expect(await _well(running), "a good request is not answered any more")
    return verdict


async def _row(
    running: Running,
    verdict: Verdict,
    name: str,
    ask: Callable[[], Awaitable[object]],
    expected: tuple[object, ...],
    count: int,
    share_s: float,
    between_s: float,
    *,
    has_body: bool,
) -> None:
    loop = asyncio.get_running_loop()
    wrong: dict[object, int] = {}

    async def repeat(times: int, seconds: float) -> int:
        latest_s = loop.time() + seconds
        for done in range(times):
            if loop.time() > latest_s:
                return done
            status = await ask()
            if status not in expected:
                wrong[status] = wrong.get(status, 0) + 1
        return times

    await repeat(min(_WARM, count), share_s / 4)
    before, cpu_s = await at_rest(running, between_s), running.cpu_s()
    done = await repeat(count, share_s * 3 / 4)
    each_s = (running.cpu_s() - cpu_s) / max(done, 1)
    after = await at_rest(running, between_s)
    grown = after.resident_bytes - before.resident_bytes
    verdict.show(name, f"{done} x, {grown / 2**20:+.1f} MiB, {each_s * 1000:.2f} ms CPU each")
    verdict.expect(done > 0, f"{name}: there was no time for it")
    verdict.expect(not wrong, f"{name}: expected {expected}, got {wrong}")
    verdict.expect(
        after.descriptors <= before.descriptors + 2,
        f"{name}: descriptors grew from {before.descriptors} to {after.descriptors}",
    )
    limit = BODIES_LIMIT if has_body else HEADS_LIMIT
    verdict.expect_figure(grown <= limit, f"{name}: memory grew by {grown / 2**20:.1f} MiB")
    if not has_body:
        verdict.expect_figure(each_s <= CPU_LIMIT_S, f"{name}: {each_s * 1000:.1f} ms CPU each")


def _sender(port: int, message: bytes) -> Callable[[], Awaitable[object]]:
    async def send() -> object:
        """The status, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(message)
            async with asyncio.timeout(20):
                return int((await reader.readline()).split()[1])
        except (ConnectionError, IndexError, TimeoutError) as error:
            return repr(error)
        finally:
            writer.close()

    return send


def _caller(channel: grpc.aio.Channel, message: bytes) -> Callable[[], Awaitable[object]]:
    ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GRPC_METHOD)

    async def call() -> object:
        try:
            await ask(message, timeout=20)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    return call


async def _well(running: Running) -> bool:
    return await _sender(running.http_port, _request(_GOOD))() == 200
