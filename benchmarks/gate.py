"""What the gate costs: an API key, its scopes and a rate limit, as a share of a small request's CPU time.

    python -m benchmarks.gate [--short] [--rounds N] [--seconds N]

Each round loads a server that wants a key, with the smallest request that there is, and takes its CPU time
for each; then it does what the gate does for one such request, many times, on the same core. And it refuses
keys that are wrong in their first byte and in their last, in turns. Exits 1 when the median share is over
LIMIT, a request failed, or one of the two takes longer than the other by more than ALIKE.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from aiohttp import web
from multidict import CIMultiDict

from benchmarks import models
from benchmarks.harness import SERVER_CORE, Running, on_core, scratch, server
from benchmarks.load import notes, run_load
from benchmarks.payloads import payload
from benchmarks.table import show
from onnxd.grpc_frontend import credentials as grpc_credentials
from onnxd.http_frontend.call import Exchange, Route
from onnxd.http_frontend.middleware import Boundary
from onnxd.security import key_file
from onnxd.security.api_key import ApiKey, read_key
from onnxd.security.config import AuthConfig
from onnxd.security.gate import Gate, Verdict, require
from onnxd.security.jwt_config import JwtConfig
from onnxd.security.opening import open_gate
from onnxd.security.peer import grpc_peer_address
from onnxd.security.rate_config import RateConfig
from onnxd.telemetry.refusals import Refusals

LIMIT: Final = 0.03
ALIKE: Final = 0.02
_WIRES: Final = ("http json", "http binary", "grpc")
_IN_FLIGHT: Final = 16
_TIMES: Final = 20_000
_RATE: Final = RateConfig(per_second=1e9, burst=10**9, max_in_flight=10**6)
"""What is asked and never refused."""


@dataclass(slots=True)
class Samples:
    """One wire's, of each round."""

    request_us: list[float] = field(default_factory=list)
    key_us: list[float] = field(default_factory=list)
    key_and_rate_us: list[float] = field(default_factory=list)
    new_head_us: list[float] = field(default_factory=list)
    """With a key, where no head is the same as the one before."""
    failed: int = 0

    def shares(self, gate_us: list[float]) -> list[float]:
        return [gate / request for gate, request in zip(gate_us, self.request_us, strict=True)]


class CallContext:
    """What a gRPC call tells of its caller. Obeys the part of grpc.aio's context that is read."""

    def __init__(self, key: str) -> None:
        self._metadata = (("user-agent", "benchmark"), ("authorization", f"Bearer {key}"))

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def auth_context(self) -> Mapping[str, Any]:
        return {}

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"


class Connected(asyncio.Transport):
    """A connection without TLS, of which the address is asked, and whether there is a certificate."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50000) if name == "peername" else default


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="two rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=2, help="of load, for each form in each round")
    options = parser.parse_args()
    rounds: int = options.rounds or (2 if options.short else 5)
    for note in notes():
        print(note)
    samples = asyncio.run(measure(rounds, options.seconds))
    rows = []
    misses = [f"{each.failed} requests failed as {wire}" for wire, each in samples.items() if each.failed]
    for wire, each in samples.items():
        shares = {
            "key": each.shares(each.key_us),
            "key in a new head": each.shares(each.new_head_us),
            "key and rate": each.shares(each.key_and_rate_us),
        }
        costs = (each.key_us, each.new_head_us, each.key_and_rate_us)
        for (what, taken), gate_us in zip(shares.items(), costs, strict=True):
            rows.append([
                f"{wire}, {what}", f"{median(each.request_us):.1f}", f"{median(gate_us):.2f}",
                f"{100 * median(taken):.2f} %", f"{100 * max(taken):.2f} %",
            ])  # fmt: skip
        if median(shares["key"]) > LIMIT:
            misses.append(f"{wire}: the gate with a key takes over {100 * LIMIT:.0f} % of a request")
    columns = ["", "request, CPU µs", "gate, CPU µs", "share", "worst round"]
    show(f"the gate, {rounds} rounds", columns, rows)
    ratio = wrong_keys(rounds)
    print(f"a key that is wrong in its last byte / in its first: {ratio:.3f}")
    if abs(ratio - 1) > ALIKE:
        misses.append("how long it takes to refuse a key tells how much of it is right")
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


async def measure(rounds: int, seconds: int) -> dict[str, Samples]:
    """All wires in every round, one after the other."""
    samples = {wire: Samples() for wire in _WIRES}
    async with AsyncExitStack() as resources:
        directory = resources.enter_context(scratch())
        keys = directory / "keys.json"
        known, key = key_file.empty().with_new("caller", ("infer:m*", "metadata"), time.time(), None)
        for number in range(100):
            known, _ = known.with_new(f"other-{number}", ("infer:x*",), time.time(), None)
        key_file.save(keys, known)
        models.publish(directory / "models", "m", models.identity(), models.BATCHED)
        running = resources.enter_context(
            server(directory / "models", directory / "state", "--auth-keys-file", str(keys), core=SERVER_CORE)
        )
        auth = AuthConfig(keys_file=keys)
        gate = await resources.enter_async_context(open_gate(auth, JwtConfig(), RateConfig()))
        limited = await resources.enter_async_context(open_gate(auth, JwtConfig(), _RATE))
        for _ in range(rounds):
            for wire, into in samples.items():
                _load(running, wire, key.text(), seconds, directory, into)
                with on_core(SERVER_CORE):
                    into.key_us.append(_microseconds(_asks(wire, gate, key.text())))
                    new = _asks(wire, gate, key.text(), same_head=False)
                    into.new_head_us.append(_microseconds(new))
                    into.key_and_rate_us.append(_microseconds(_asks(wire, limited, key.text())))
    return samples


def wrong_keys(rounds: int) -> float:
    """How much longer one takes to refuse that is right but for its last byte than one that is not right from
    its first on: the median of the ratios of turns."""
    known, key = key_file.empty().with_new("caller", ("infer",), time.time(), None)
    other = {"A": "B"}
    first = ApiKey(key.id, other.get(key.secret[0], "A") + key.secret[1:]).text()
    last = ApiKey(key.id, key.secret[:-1] + other.get(key.secret[-1], "A")).text()

    def took_s(text: str) -> float:
        start_s = time.thread_time()
        for _ in range(_TIMES // 20):
            sent = read_key(text)
            if sent is None or known.find(sent, 0.0) is not None:
                raise RuntimeError("a key that is wrong was let in, or not read")
        return time.thread_time() - start_s

    return median(took_s(last) / took_s(first) for _ in range(20 * rounds))


def _load(running: Running, wire: str, key: str, seconds: int, directory: Path, into: Samples) -> None:
    asked = payload(wire, "m", 4)
    asked = replace(asked, headers={**asked.headers, "authorization": f"Bearer {key}"})
    before_s = running.cpu_s()
    result = run_load(running.port_of(wire), asked, _IN_FLIGHT, seconds, directory)
    into.request_us.append((running.cpu_s() - before_s) / max(result.requests, 1) * 1e6)
    into.failed += result.failed


def _asks(wire: str, gate: Gate, key: str, *, same_head: bool = True) -> Callable[[], None]:
    """What the front end of a wire asks of the gate for one inference request, and what it holds.
    `same_head`: its head is the one that came before on its connection, as over HTTP it nearly always is."""
    if wire == "grpc":
        context = cast(Any, CallContext(key))

        def ask_grpc() -> None:
            caller = gate.admit("infer", grpc_credentials.credentials_of(context, gate))
            require(caller, "infer", "m")
            if gate.rates.on:
                with gate.rates.hold(caller.principal, grpc_peer_address(context.peer())) as held:
                    held.model("m")

        return ask_grpc
    headers = CIMultiDict({"Host": "localhost", "Authorization": f"Bearer {key}", "Content-Length": "100"})
    path = "/v2/models/m/infer"
    boundary = Boundary((), "127.0.0.1", Refusals(), gate)
    route = Route("POST", path, _nothing, "infer", on_lane=True)
    verdict = Verdict() if same_head else None

    def ask_http() -> None:
        call = Exchange("POST", path, headers, "127.0.0.1", Connected(), 0, model="m", verdict=verdict)
        with boundary.permitted(route, call):
            pass

    return ask_http


async def _nothing(call: object) -> web.StreamResponse:
    raise NotImplementedError("nothing is answered here")


def _microseconds(work: Callable[[], None]) -> float:
    """The least of several: what else runs on the core can only add."""
    return min(_timed(work)) / _TIMES * 1e6


def _timed(work: Callable[[], None]) -> Iterator[float]:
    for _ in range(3):
        start_s = time.thread_time()
        for _ in range(_TIMES):
            work()
        yield time.thread_time() - start_s


if __name__ == "__main__":
    sys.exit(main())
