"""Processes under measurement: started on a core of their own, accounted, and ended by whoever started them.

A benchmark ends only what it started, talks over loopback only, and bounds every wait.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CORES: Final = tuple(sorted(os.sched_getaffinity(0)))
SERVER_CORE: Final = CORES[0]
LOAD_CORE: Final = CORES[-1]
"""The same core when there is only one; then the ratios hold less well."""

_STOP_S: Final = 20.0
_START_LINES: Final = 1000
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_LISTENING: Final = re.compile(r"HTTP +http://127\.0\.0\.1:(\d+)\s+gRPC +127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process holds."""

    resident_bytes: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Running:
    """A process under measurement."""

    process: "subprocess.Popen[str]"
    http_port: int
    """0 = it does not speak HTTP."""
    grpc_port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def port_of(self, wire: str) -> int:
        return self.grpc_port if wire.startswith("grpc") else self.http_port

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, of all its threads; of its child processes none."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def resources(self) -> Resources:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
        )
        return Resources(
            resident_bytes=int(status["VmRSS"].split()[0]) * 1024,
            descriptors=len(os.listdir(f"/proc/{self.pid}/fd")),
            threads=int(status["Threads"]),
        )


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started inside runs on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory for one benchmark, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="onnxd-bench-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def server(
    repository: Path,
    state: Path,
    *arguments: str,
    core: int | None = None,
    program: str = "onnxd",
    **environment: str,
) -> Iterator[Running]:
    """`onnxd serve` as people start it, on free ports; ready when this returns.

    `core` None = all cores. `program`: the module that is run. Of settings it knows its arguments and
    `environment` alone, not the caller's.
    """
    command = [
        sys.executable, "-m", program, "serve",
        "--model-repository", str(repository), "--state-dir", str(state),
        "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", *arguments,
    ]  # fmt: skip
    pinned = contextlib.nullcontext() if core is None else on_core(core)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ONNXD_")}
    # To a file: a pipe that nobody reads any more would stop a server that logs much.
    log = state.with_name(f"{state.name}.log")
    with pinned, log.open("w") as sink:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=sink, env={**inherited, **environment}, text=True
        )
    with _ended(process):
        found = _wait_for(process, log)
        yield Running(process, int(found[1]), int(found[2]))


@contextlib.contextmanager
def baseline(name: str) -> Iterator[Running]:
    """One of benchmarks/baselines on the server's core."""
    with on_core(SERVER_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.baselines.{name}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
    with _ended(process):
        kind, port = _first_line(process, name).split()
        yield Running(process, int(port) if kind == "http" else 0, int(port) if kind == "grpc" else 0)


@contextlib.contextmanager
def _ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait_for(process: "subprocess.Popen[str]", log: Path) -> re.Match[str]:
    for _ in range(_START_LINES):
        text = log.read_text()
        if found := _LISTENING.search(text):
            return found
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"the server ended before it was ready:\n{log.read_text()}")
    raise RuntimeError(f"the server was not ready in time:\n{log.read_text()}")


def _first_line(process: "subprocess.Popen[str]", name: str) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError(f"the baseline {name} ended before it listened")
    return line
