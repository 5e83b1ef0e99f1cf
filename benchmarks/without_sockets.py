"""What a request costs without sockets: connections in memory, the whole way to ONNX Runtime and back.

    python -m benchmarks.without_sockets [--model M] [--connections N] [--turns N] [--functions N]

Each connection sends one request (HTTP binary) in each turn of the loop. The time is the best turn's, which a
busy machine hardly moves; the instructions of the interpreter that a request takes do not depend on the
machine at all, and are shown by module. Exits 1 when an answer is not 200.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvloop

from benchmarks import models
from benchmarks.harness import scratch
from benchmarks.payloads import Payload, payload
from benchmarks.table import show
from benchmarks.wires.cells import WIDTHS
from onnxd.app import open_server
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.http_frontend.config import HttpConfig, MetricsConfig
from onnxd.http_frontend.lane.connection import Lane
from onnxd.http_frontend.lane.lanes import Lanes
from onnxd.settings.server_settings import ServerSettings

_GRAPHS: Final[Mapping[str, Callable[[], bytes]]] = {"identity": models.identity, "mlp": models.mlp}
_START_S: Final = 60.0
_TRACED_TURNS: Final = 20
_WARM_TURNS: Final = 200
_MOST_TURNS: Final = 100_000
_Where = tuple[str, str]


class Wire(asyncio.Transport):
    """A connection that is always writable; what is written is only looked at."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.answers = 0
        self.failed = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers += 1
        self.failed += bytes(data[:12]) != b"HTTP/1.1 200"

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Likewise."""

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Likewise."""


class Client:
    """One connection."""

    def __init__(self, lanes: Lanes) -> None:
        self.wire: Final = Wire()
        self._lane: Final[Lane] = lanes()
        self._lane.connection_made(self.wire)

    def send(self, request: bytes) -> None:
        room = self._lane.get_buffer(-1)
        room[: len(request)] = request
        self._lane.buffer_updated(len(request))

    def leave(self) -> None:
        self._lane.connection_lost(None)


class Opcodes:
    """Counts the interpreter's instructions by function while it is entered."""

    def __init__(self) -> None:
        self.of: Counter[_Where] = Counter()

    def __enter__(self) -> "Opcodes":
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        where, of = (frame.f_code.co_filename, frame.f_code.co_qualname), self.of

        def count(_: FrameType, event: str, __: object) -> Callable[..., Any]:
            if event == "opcode":
                of[where] += 1
            return count

        return count


@asynccontextmanager
async def opened(directory: Path, model: str) -> AsyncIterator[Lanes]:
    """The lanes of a server that serves the model."""
    repository = directory / "models"
    models.publish(repository, model, _GRAPHS[model](), models.BATCHED)
    settings = ServerSettings(
        model_repository=(repository,),
        state_dir=directory / "state",
        http=HttpConfig(port=0),
        grpc=GrpcConfig(port=0),
        metrics=MetricsConfig(port=0),
    )
    async with AsyncExitStack() as resources:
        server = await open_server(settings, resources)
        async with asyncio.timeout(_START_S):
            await server.lifecycle.started.wait()
        server.inference.open()
        lanes = server.http.listener.lanes
        if lanes is None:
            raise RuntimeError("the server has no lane")
        yield lanes


def request_of(asked: Payload) -> bytes:
    """As it comes over a connection."""
    heads = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    head = (
        f"POST {asked.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{heads}Content-Length: {len(asked.body)}\r\n\r\n"
    )
    return head.encode() + asked.body


async def turn(clients: list[Client], request: bytes) -> int:
    """Nanoseconds until all have their answer to one request each."""
    begun_ns = time.perf_counter_ns()
    wanted = sum(client.wire.answers for client in clients) + len(clients)
    # Outside of any task, as a transport does.
    asyncio.get_running_loop().call_soon(send_all, clients, request)
    for _ in range(_MOST_TURNS):
        await asyncio.sleep(0)
        if sum(client.wire.answers for client in clients) == wanted:
            return time.perf_counter_ns() - begun_ns
    raise RuntimeError("not all were answered")


def send_all(clients: list[Client], request: bytes) -> None:
    for client in clients:
        client.send(request)


async def measure(options: argparse.Namespace) -> int:
    with scratch() as directory:
        async with opened(directory, options.model) as lanes:
            clients = [Client(lanes) for _ in range(options.connections)]
            request = request_of(payload("http binary", options.model, WIDTHS[options.model]))
            try:
                for _ in range(_WARM_TURNS):
                    await turn(clients, request)
                times = sorted([await turn(clients, request) for _ in range(options.turns)])
                with Opcodes() as opcodes:
                    for _ in range(_TRACED_TURNS):
                        await turn(clients, request)
            finally:
                for client in clients:
                    client.leave()
    report(options, times, opcodes.of)
    failed = sum(client.wire.failed for client in clients)
    if failed:
        print(f"{failed} answers were not 200", file=sys.stderr)
    return 1 if failed else 0


def report(options: argparse.Namespace, times_ns: list[int], opcodes: Counter[_Where]) -> None:
    requests = options.connections * _TRACED_TURNS
    of_server = {where: n for where, n in opcodes.items() if where[0] != __file__}
    modules: Counter[str] = Counter()
    for (path, _), number in of_server.items():
        modules[Path(path).parent.name + "/" + Path(path).name] += number
    best, middle = times_ns[len(times_ns) // 100], times_ns[len(times_ns) // 2]
    show(
        f"{options.model}, {options.connections} connections in memory, a request",
        ["us, best", "us, median", "opcodes"],
        [[
            f"{best / options.connections / 1e3:.1f}",
            f"{middle / options.connections / 1e3:.1f}",
            f"{sum(of_server.values()) / requests:.0f}",
        ]],
    )  # fmt: skip
    lines = [[name, f"{number / requests:.0f}"] for name, number in modules.most_common(options.functions)]
    show("by module", ["module", "opcodes"], lines)
    dearest = Counter(of_server).most_common(options.functions)
    lines = [[f"{Path(path).name}:{name}", f"{number / requests:.1f}"] for (path, name), number in dearest]
    show("by function", ["function", "opcodes"], lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=tuple(_GRAPHS), default="identity")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--turns", type=int, default=1500)
    parser.add_argument("--functions", type=int, default=25, help="how many of the dearest are shown")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(options))


if __name__ == "__main__":
    sys.exit(main())
