"""The whole server, for tests: in this process on ports of its own, or as the command that people start."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from onnxd.app import Server, open_server
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.http_frontend.config import HttpConfig, MetricsConfig
from onnxd.repository.watcher import WatchConfig
from onnxd.settings.server_settings import ServerSettings
from tests.support.grpc_transports import on_transport
from tests.support.until import until

ROOT: Final = Path(__file__).resolve().parents[2]
SHIPPED: Final = ROOT / "model_repository"
QUICK_WATCH: Final = WatchConfig(scan_interval=0.5, settle=0.02)
"""Tests publish by rename, so their files need not settle for long."""
_START_S: Final = 60.0
_LISTENING: Final = re.compile(r"HTTP +http://127\.0\.0\.1:(\d+)\s+gRPC +127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class RunningServer:
    """An open server and how to reach it."""

    server: Server
    repository: Path

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.server.http.port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.server.grpc.port}"

    @property
    def metrics(self) -> str:
        """What a scraper is told to ask."""
        assert self.server.metrics is not None
        return f"http://127.0.0.1:{self.server.metrics.port}/metrics"

    async def ready(self, model: str, version: int | None = None) -> None:
        """Wait until a model (or a version of it) serves."""
        await until(lambda: (version or max(self._serving(model), default=0)) in self._serving(model))

    async def gone(self, model: str) -> None:
        """Wait until nothing of a model serves."""
        await until(lambda: not self._serving(model))

    async def reason(self, model: str, version: int | None) -> str:
        """Wait until the index gives a reason for a version, and return it."""
        reasons: list[str] = []

        async def is_given() -> bool:
            reasons[:] = [
                entry.reason
                for entry in await self.server.lifecycle.index()
                if entry.name == model and entry.version == version and entry.reason
            ]
            return bool(reasons)

        await until(is_given)
        return reasons[0]

    def _serving(self, model: str) -> set[int]:
        with contextlib.suppress(Exception):  # not there, or not yet: nothing serves
            return set(self.server.inference.versions(model))
        return set()


@contextlib.asynccontextmanager
async def running_server(repository: Path, state: Path, **changes: Any) -> AsyncIterator[RunningServer]:
    """A server in this process, ready. `changes` are fields of ServerSettings."""
    settings = ServerSettings(
        model_repository=(repository,),
        state_dir=state,
        http=HttpConfig(port=0),
        grpc=GrpcConfig(port=0),
        metrics=MetricsConfig(port=0),
        watch=QUICK_WATCH,
    )
    async with AsyncExitStack() as resources:
        settings = replace(settings, **changes)
        server = await open_server(replace(settings, grpc=on_transport(settings.grpc)), resources)
        async with asyncio.timeout(_START_S):
            await server.lifecycle.started.wait()
        server.inference.open()
        await server.grpc.announce(serving=True)
        yield RunningServer(server, repository)


def publish(repository: Path, model: str, version: int, graph: bytes, config: str | None = None) -> None:
    """Put a version into a repository as the documentation says: complete, then renamed into place."""
    directory = repository / model
    directory.mkdir(parents=True, exist_ok=True)
    if config is not None:
        draft = directory / ".config.yaml.tmp"
        draft.write_text(config)
        draft.rename(directory / "config.yaml")
    target = directory / str(version)
    target.mkdir(exist_ok=True)
    draft = target / ".model.onnx.tmp"
    draft.write_bytes(graph)
    draft.rename(target / "model.onnx")


@dataclass(slots=True)
class ServerProcess:
    """`onnxd serve` as people start it."""

    process: subprocess.Popen[str]
    http: str
    grpc: str
    log: list[str]

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_START_S)


@contextlib.contextmanager
def server_process(
    repository: Path, state: Path, *arguments: str, **environment: str
) -> Iterator[ServerProcess]:
    """Start the command on free ports, wait for its banner, and end it."""
    command = [
        sys.executable, "-m", "onnxd", "serve",
        "--model-repository", str(repository), "--state-dir", str(state),
        "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", *arguments,
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    try:
        log: list[str] = []
        http, grpc = _wait_for_banner(process.stderr, log)
        yield ServerProcess(process, f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}", log)
    finally:
        if process.poll() is None:
            process.kill()
        process.stderr.close()
        process.wait()


def _wait_for_banner(stream: IO[str], log: list[str]) -> tuple[str, str]:
    for line in stream:
        log.append(line)
        if match := _LISTENING.search("".join(log)):
            return match[1], match[2]
    raise AssertionError("the server ended before it was ready:\n" + "".join(log))
