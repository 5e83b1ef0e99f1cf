"""S10: clients that dribble heads and bodies, and readers that do not read, beside clients that behave.

The slow ones are a process of their own: `python -m benchmarks.soak.slow PORT HEADS BODIES READERS SECONDS`.
"""

import asyncio
import contextlib
import json
import resource
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import quantiles
from typing import Final

from benchmarks import models
from benchmarks.harness import ROOT, Running, server
from benchmarks.payloads import Payload, payload
from benchmarks.soak.verdict import BETWEEN_S, Verdict, at_rest

TIMEOUT_S: Final = 3
"""Of the server, for heads, bodies and answers."""
P99_LIMIT: Final = 2.0
CLIENTS: Final = 8
_DRIBBLE_S: Final = 1.0
_SLACK_S: Final = 20.0
_ROOM: Final = 4
_SPARE_FILES: Final = 512
_WIDE: Final = 2_000_000
"""Values of an answer that no socket's buffer takes whole."""


async def run(
    directory: Path, heads: int, bodies: int, readers: int, seconds: float, between_s: float = BETWEEN_S
) -> Verdict:
    """So many slow clients of each kind, for so long. Fewer, if the system does not have the files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    try:
        share = min(1.0, (hard - _SPARE_FILES) / (heads + bodies + readers))
        heads, bodies, readers = (int(share * count) for count in (heads, bodies, readers))
        return await _run(directory, heads, bodies, readers, seconds, between_s)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _run(
    directory: Path, heads: int, bodies: int, readers: int, seconds: float, between_s: float
) -> Verdict:
    verdict = Verdict(f"slow clients: {heads} heads, {bodies} bodies, {readers} readers for {seconds:g} s")
    models.publish(directory / "models", "m", models.identity(), models.BATCHED)
    models.publish(directory / "models", "wide", models.identity(_WIDE), "max_batch_size: 1\n")
    timeout = f"{TIMEOUT_S}s"
    impatient = (
        "--http-keepalive-timeout", timeout, "--http-body-timeout", timeout, "--http-write-timeout", timeout,
        "--http-max-connections", str(2 * (heads + bodies + readers + CLIENTS)), "--log-level", "error",
    )  # fmt: skip
    with server(directory / "models", directory / "state", *impatient) as running:
        alone = await _well_behaved(running, seconds / 2)
        base = await at_rest(running, between_s)
        arguments = [str(each) for each in (running.http_port, heads, bodies, readers, seconds)]
        slow = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.soak.slow", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            beside = await _well_behaved(running, seconds)
            async with asyncio.timeout(seconds + 3 * _SLACK_S):
                output, _ = await slow.communicate()
        finally:
            if slow.returncode is None:
                slow.kill()
                await slow.wait()
        ended = Counter(json.loads(output))
        after = await at_rest(running, between_s)
        for what, count in sorted(ended.items()):
            verdict.show(what, count)
        verdict.show("answered alone, and beside them", f"{len(alone.times_s)}, {len(beside.times_s)}")
        p99 = [quantiles(each.times_s, n=100)[98] * 1000 for each in (alone, beside)]
        verdict.show("p99 alone, and beside them", f"{p99[0]:.1f} ms, {p99[1]:.1f} ms")
        verdict.show("descriptors before, after", f"{base.descriptors}, {after.descriptors}")
        verdict.expect(beside.failed == 0, f"{beside.failed} good requests were not answered")
        verdict.expect(
            ended["open"] == 0, f"{ended['open']} slow connections were still open after their deadline"
        )
        verdict.expect(
            after.descriptors <= base.descriptors + _ROOM,
            f"descriptors grew from {base.descriptors} to {after.descriptors}",
        )
        verdict.expect_figure(p99[1] <= P99_LIMIT * p99[0], f"p99 is {p99[1] / p99[0]:.1f} x that alone")
    return verdict


class Answers:
    """What clients that behave have seen."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.failed = 0


async def _well_behaved(running: Running, seconds: float) -> Answers:
    message = _message(payload("http binary", "m", 4))
    seen = Answers()

    async def repeat(end_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.http_port)
        try:
            while (start_s := time.monotonic()) < end_s:
                writer.write(message)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                seen.failed += not head.startswith(b"HTTP/1.1 200")
                seen.times_s.append(time.monotonic() - start_s)
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.failed += 1
        finally:
            writer.close()

    end_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(repeat(end_s))
    return seen


# The slow ones' process.


async def _slow_ones(port: int, heads: int, bodies: int, readers: int, seconds: float) -> Counter[str]:
    ended: Counter[str] = Counter()
    latest_s = time.monotonic() + seconds + _SLACK_S
    wide = _message(payload("http binary", "wide", _WIDE)) if readers else b""
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    kinds = [
        *[("heads closed", b"GET /v2/health/live HTTP/1.1\r\nX-Slow: ", b"a")] * heads,
        *[("bodies closed", head, b" ")] * bodies,
    ]
    async with asyncio.TaskGroup() as tasks:
        for kind, first, dribble in kinds:
            tasks.create_task(_dribble(port, kind, first, dribble, latest_s, ended))
        for at in range(readers):
            tasks.create_task(_do_not_read(port, wide, at * seconds / 2 / readers, latest_s, ended))
    return ended


async def _dribble(
    port: int, kind: str, first: bytes, dribble: bytes, latest_s: float, ended: Counter[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    while time.monotonic() < latest_s:
        with contextlib.suppress(TimeoutError):
            try:
                async with asyncio.timeout(_DRIBBLE_S):
                    while await reader.read(4096):
                        pass
            except ConnectionError:
                pass
            ended[kind] += 1
            writer.close()
            return
        writer.write(dribble)
    ended["open"] += 1
    writer.close()


async def _do_not_read(
    port: int, message: bytes, after_s: float, latest_s: float, ended: Counter[str]
) -> None:
    """Asks for a large answer, and takes nothing of it: the reset shows without a read."""
    await asyncio.sleep(after_s)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, message)
            while time.monotonic() < latest_s:
                await asyncio.sleep(_DRIBBLE_S)
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    ended["readers closed"] += 1
                    return
        except ConnectionError:
            ended["readers closed"] += 1
            return
        ended["open"] += 1


def _message(asked: Payload) -> bytes:
    given = {"Host": "localhost", **asked.headers, "Content-Length": str(len(asked.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {asked.path} HTTP/1.1\r\n{lines}\r\n".encode() + asked.body


if __name__ == "__main__":
    port, heads, bodies, readers = map(int, sys.argv[1:5])
    print(json.dumps(asyncio.run(_slow_ones(port, heads, bodies, readers, float(sys.argv[5])))))
