"""Load on one server for a while: wrk and h2load where they are installed, else a client in Python.

All run on the load's core, in a process of their own. The Python client costs more than the servers do, so
with it requests per second mean little; requests per CPU second of the server still hold. Streams are loaded
by stream_load, which costs less than a gRPC library.

wrk and h2load end by closing their connections, requests in flight or not: what a server counts of those as
cancelled has not failed.
"""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.harness import LOAD_CORE, ROOT, on_core
from benchmarks.latencies import percentiles
from benchmarks.payloads import Payload

_WRK: Final = shutil.which("wrk")
_H2LOAD: Final = shutil.which("h2load")
_SLACK_S: Final = 30.0
_MOST_CONNECTIONS: Final = 8
"""Of gRPC; the rest are streams on them."""
_REQUESTS: Final = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed")
_SCRIPT: Final = """
wrk.method = "POST"
wrk.body = io.open("{body}", "rb"):read("*a")
{headers}
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format('RESULT {{"requests": %d, "failed": %d, "p50_us": %f, "p99_us": %f}}\\n',
    summary.requests, failed, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came back."""

    requests: int
    failed: int
    p50_us: float
    p99_us: float


def notes() -> list[str]:
    """What a reader of the figures must know of the load."""
    return [
        f"{tool} is not installed: {wire} is loaded by a Python client, so requests/s mean little"
        for tool, wire, found in (("wrk", "HTTP", _WRK), ("h2load", "gRPC", _H2LOAD))
        if found is None
    ]


def run_load(port: int, asked: Payload, in_flight: int, seconds: float, scratch: Path) -> LoadResult:
    """Keep so many requests in flight for so long."""
    body = scratch / "body.bin"
    body.write_bytes(asked.body)
    if asked.wire == "grpc stream":
        return _stream(port, asked, body, in_flight, seconds)
    if asked.wire == "grpc" and _H2LOAD is not None:
        return _h2load(_H2LOAD, port, asked, body, in_flight, seconds)
    if asked.wire != "grpc" and _WRK is not None:
        return _wrk(_WRK, port, asked, body, in_flight, seconds)
    headers = json.dumps(dict(asked.headers))
    return _parse_json(
        _output(
            [
                sys.executable, "-m", "benchmarks.load_client", asked.wire, str(port), asked.path,
                str(body), headers, str(in_flight), str(seconds),
            ],
            seconds,
        )
    )  # fmt: skip


def _wrk(tool: str, port: int, asked: Payload, body: Path, in_flight: int, seconds: float) -> LoadResult:
    script = body.with_suffix(".lua")
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in asked.headers.items())
    script.write_text(_SCRIPT.format(body=body, headers=headers))
    url = f"http://127.0.0.1:{port}{asked.path}"
    # wrk takes whole seconds only.
    duration = f"{max(1, round(seconds))}s"
    command = [tool, "--threads", "1", "--connections", str(in_flight), "--duration", duration]
    return _parse_json(_output([*command, "--script", str(script), url], seconds))


def _h2load(tool: str, port: int, asked: Payload, body: Path, in_flight: int, seconds: float) -> LoadResult:
    connections = min(in_flight, _MOST_CONNECTIONS)
    log = body.with_suffix(".log")
    log.unlink(missing_ok=True)  # h2load appends
    command = [
        tool, "--log-file", str(log),
        "--clients", str(connections), "--max-concurrent-streams", str(in_flight // connections),
        "--duration", str(max(1, round(seconds))), "--data", str(body),
        "--header", "content-type: application/grpc", "--header", "te: trailers",
        *(word for name, value in asked.headers.items() for word in ("--header", f"{name}: {value}")),
        f"http://127.0.0.1:{port}{asked.path}",
    ]  # fmt: skip
    output = _output(command, seconds)
    counts = _REQUESTS.search(output)
    if counts is None:
        raise RuntimeError(f"h2load said what is not understood:\n{output}")
    # A line of the log: start, status, microseconds.
    answered = [int(line.rpartition("\t")[2]) for line in log.read_text().splitlines()]
    return LoadResult(int(counts[2]), int(counts[1]) - int(counts[2]), *percentiles(answered))


def _stream(port: int, asked: Payload, body: Path, in_flight: int, seconds: float) -> LoadResult:
    command = [sys.executable, "-m", "benchmarks.stream_load", str(port), asked.path, str(body)]
    return _parse_json(_output([*command, str(in_flight), str(seconds)], seconds))


def _output(command: list[str], seconds: float) -> str:
    with on_core(LOAD_CORE):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + _SLACK_S, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _parse_json(output: str) -> LoadResult:
    _, found, result = output.partition("RESULT ")
    if not found:
        raise RuntimeError(f"the load generator gave no result:\n{output}")
    return LoadResult(**json.loads(result.splitlines()[0]))
