"""Many threads that load and unload one model through both protocols while the watcher sees it change."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import grpc

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import ask_http, payload
from onnxd_protos.grpc_service_pb2 import RepositoryModelLoadRequest, RepositoryModelUnloadRequest

MODEL: Final = "stormed"
_SERVICE: Final = "/inference.GRPCInferenceService"
_TIMEOUT_S: Final = 60.0
_REQUIRED: Final = frozenset({"HTTP load 200", "HTTP unload 200", "gRPC load OK", "gRPC unload OK"})
_MOVING: Final = "changed while it was copied"
"""What a call is told when the files change under it, or under the call that has taken its place."""
_PUBLISH_EACH_S: Final = 0.05


@dataclass(slots=True)
class Storm:
    """What came of it."""

    calls: Counter[str] = field(default_factory=Counter)
    """By protocol, what was asked for and the status."""
    published: int = 0
    seconds: float = 0.0
    live: bool = False
    ready: bool = False
    last: float = -1.0
    """What the model answers after a last load; the number that was published last is right."""


def storm(threads: int, rounds: int, deadline_s: float = 3600.0) -> Storm:
    """Each thread loads and unloads in turn, so many rounds of both."""
    found = Storm()
    stop = threading.Event()
    with scratch() as directory:
        repository = directory / "models"
        models.publish(repository, MODEL, models.row_constant(0), models.BATCHED)
        with server(repository, directory / "state", ONNXD_WATCH_SETTLE="20ms") as running:
            start_s = time.monotonic()
            ends_s = start_s + deadline_s

            def publish() -> None:
                while not stop.wait(_PUBLISH_EACH_S):
                    found.published += 1
                    models.publish(repository, MODEL, models.row_constant(found.published))

            with ThreadPoolExecutor(threads + 1) as pool:
                publishing = pool.submit(publish)
                calling = [
                    pool.submit(_thread, running, at, rounds, lambda: time.monotonic() < ends_s)
                    for at in range(threads)
                ]
                for each in calling:
                    found.calls.update(each.result())
                stop.set()
                publishing.result()
            found.seconds = time.monotonic() - start_s
            found.calls[_http(running, "load")] += 1
            found.live = _get(running, "/v2/health/live") == 200
            found.ready = _get(running, f"/v2/models/{MODEL}/ready") == 200
            status, body = ask_http(running.http_port, payload("http json", MODEL, 4))
            found.last = json.loads(body)["outputs"][0]["data"][0] if status == 200 else -1.0
    return found


def _thread(running: Running, at: int, rounds: int, going_on: Callable[[], bool]) -> Counter[str]:
    calls: Counter[str] = Counter()
    with grpc.insecure_channel(
        f"127.0.0.1:{running.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        for number in range(2 * rounds):
            what = "load" if (number + at) % 2 else "unload"
            if going_on():
                calls[_http(running, what) if at % 2 else _grpc(channel, what)] += 1
    return calls


def _http(running: Running, what: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", f"/v2/repository/models/{MODEL}/{what}", b"{}")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return f"HTTP {what} {answer.status}" + (f" {_short(text)}" if answer.status != 200 else "")
    finally:
        connection.close()


def _grpc(channel: grpc.Channel, what: str) -> str:
    kind = RepositoryModelLoadRequest if what == "load" else RepositoryModelUnloadRequest
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        f"{_SERVICE}/RepositoryModel{what.capitalize()}"
    )
    try:
        call(kind(model_name=MODEL).SerializeToString(), timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        return f"gRPC {what} {error.code().name} {_short(error.details() or '')}"
    return f"gRPC {what} OK"


def _short(text: str) -> str:
    return _MOVING if _MOVING in text else text[:120]


def _get(running: Running, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def judge(found: Storm) -> list[str]:
    allowed = {call for call in found.calls if call in _REQUIRED or call.endswith(_MOVING)}
    misses = [f"{count} x {call}" for call, count in found.calls.items() if call not in allowed]
    misses += [f"no {call}" for call in sorted(_REQUIRED) if call not in found.calls]
    if not (found.live and found.ready):
        misses.append(f"at the end live is {found.live} and ready is {found.ready}")
    if found.last != found.published:
        misses.append(f"the last load serves {found.last:g}, published was {found.published}")
    return misses
