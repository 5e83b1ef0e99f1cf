"""A server of its own for a soak: `onnxd serve` on a copy of a repository, gone when the soak is over."""

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim_core.errors import SimulationError

_LISTENING: Final = re.compile(r"gRPC +(127\.0\.0\.1:\d+)")
_START_S: Final = 120.0
_STOP_S: Final = 60.0
_LOOK_S: Final = 0.1
_PERMITTED: Final = (
    # Whatever the machine's settings are: on loopback, files are followed, models may be loaded and unloaded,
    # and nothing else may be changed by a client.
    "--host", "127.0.0.1", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0",
    "--model-control", "watch", "--model-control-api", "--no-settings-api", "--no-model-overrides",
)  # fmt: skip


@dataclass(slots=True)
class OwnServer:
    """Running; `exit_code` is known when it has ended."""

    url: str
    repository: Path
    """The copy: what is done to it is lost."""
    exit_code: int | None = None


@asynccontextmanager
async def own_server(repository: Path) -> AsyncIterator[OwnServer]:
    """Raises SimulationError when there is no such directory, or the server does not start."""
    if not await asyncio.to_thread(repository.is_dir):
        raise SimulationError(f"{repository}: there is no such directory; expected a repository to copy")
    with tempfile.TemporaryDirectory(prefix="sim-core-soak-") as scratch:
        # Nobody else may read or change what is served from here.
        copy = Path(scratch) / "models"
        await asyncio.to_thread(shutil.copytree, repository, copy)
        log = Path(scratch) / "server.log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "onnxd", "serve",
                "--model-repository", str(copy), "--state-dir", str(Path(scratch) / "state"), *_PERMITTED,
                stdout=asyncio.subprocess.DEVNULL, stderr=sink,
            )  # fmt: skip
        server: OwnServer | None = None
        try:
            server = OwnServer(f"grpc://{await _listening(process, log)}", copy)
            yield server
        finally:
            exit_code = await _ended(process)
            if server is not None:
                server.exit_code = exit_code


async def _listening(process: asyncio.subprocess.Process, log: Path) -> str:
    clock = asyncio.get_running_loop()
    ends_s = clock.time() + _START_S
    while True:
        text = await asyncio.to_thread(log.read_text, errors="replace")
        if found := _LISTENING.search(text):
            return found[1]
        if process.returncode is not None or clock.time() > ends_s:
            last = (text.strip().splitlines() or ["it said nothing"])[-1]
            raise SimulationError(f"onnxd did not start: {last}")
        await asyncio.sleep(_LOOK_S)


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Asked to end, and killed if it does not."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
    return await process.wait()
