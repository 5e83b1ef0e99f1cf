"""HAProxy with the configuration that deploy/ has, and what it says of the servers behind it."""

import asyncio
import contextlib
import csv
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.hosts import Host
from tests.support.server import ROOT
from tests.support.until import until

CONFIG: Final = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
BACKENDS: Final = ("onnxd_http", "onnxd_grpc")


@dataclass(frozen=True, slots=True)
class Row:
    """One server in one backend."""

    serves: bool
    """By the state of its checks and not of one answer alone, which is shown as "UP 1/2"."""
    is_down: bool
    requests_now: int
    requests: int


@dataclass(frozen=True, slots=True)
class Balancer:
    """One that runs."""

    socket: Path

    async def rows(self, server: str) -> list[Row]:
        """Of a server, in each backend."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(b"show stat\n")
            table = (await reader.read()).decode()
        finally:
            writer.close()
            await writer.wait_closed()
        return [
            Row(
                serves=row["status"] == "UP",
                is_down=row["status"].startswith("DOWN"),
                requests_now=int(row["scur"]),
                requests=int(row["stot"]),
            )
            for row in csv.DictReader(table.removeprefix("# ").splitlines())
            if row["svname"] == server and row["pxname"] in BACKENDS
        ]


@contextlib.asynccontextmanager
async def balancer(host: Host, folder: Path) -> AsyncIterator[Balancer]:
    """It runs on a host while this is open."""
    socket = folder / "haproxy.sock"
    ours = folder / "socket.cfg"
    ours.write_text(f"global\n    stats socket {socket} mode 600 level user\n")
    command = ["haproxy", "-db", "-f", str(CONFIG), "-f", str(ours)]
    with (folder / "haproxy.log").open("w") as log, host.running(command, log):
        await until(socket.exists)
        yield Balancer(socket)
