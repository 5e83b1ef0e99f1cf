"""What a run of `onnxd bench` comes to: figures of both sides, and what they cannot say. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from onnxd.cli.load_loops import MOST_IN_FLIGHT, Tally

_BUSY: Final = 0.85
"""From this share of a CPU on, a client of one event loop has no time left."""
_SMALL_LAG_S: Final = 0.002
QUANTILES: Final = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class ServerSide:
    """The server's own counters over the run: of all callers' requests, if there were others."""

    requests: int
    queue_s: float
    compute_s: float
    """Means."""
    mean_rows: float | None
    """Of the batches that ran; None = none did."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One level."""

    load: str
    """What was done: 8 at a time, or 100/s."""
    answered: int
    requests_s: float
    rows_s: float
    quantiles_s: tuple[float, ...]
    """Those of QUANTILES, and the maximum; empty = nothing was answered."""
    errors: Mapping[str, int]
    unsent: int
    elapsed_s: float
    cpu_share: float
    """Of one CPU, of this client."""
    lag_p99_s: float
    late_p99_s: float | None
    """Of an open loop: how late requests were sent."""
    server: ServerSide | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        named = (*(f"p{quantile * 100:g}_s" for quantile in QUANTILES), "max_s")
        server = self.server
        return {
            "load": self.load,
            "answered": self.answered,
            "requests_s": self.requests_s,
            "rows_s": self.rows_s,
            "latency": dict(zip(named, self.quantiles_s, strict=False)),
            "errors": dict(self.errors),
            "unsent": self.unsent,
            "elapsed_s": self.elapsed_s,
            "client": {
                "cpu_share": self.cpu_share,
                "loop_lag_p99_s": self.lag_p99_s,
                "sent_late_p99_s": self.late_p99_s,
            },
            "server": server
            and {
                "requests": server.requests,
                "queue_mean_s": server.queue_s,
                "compute_mean_s": server.compute_s,
                "batch_mean_rows": server.mean_rows,
            },
            "limits": list(limits(self)),
        }


def measured(load: str, tally: Tally, rows: int, server: ServerSide | None) -> Measured:
    """The figures of a run; each request had so many rows."""
    latencies = np.asarray(tally.latencies_s)
    answered = len(latencies)
    quantiles: tuple[float, ...] = ()
    if answered:
        quantiles = (*map(float, np.quantile(latencies, QUANTILES)), float(latencies.max()))
    per_second = answered / tally.elapsed_s if tally.elapsed_s else 0.0
    return Measured(
        load,
        answered,
        per_second,
        per_second * rows,
        quantiles,
        dict(tally.errors.most_common()),
        tally.unsent,
        tally.elapsed_s,
        tally.cpu_s / tally.elapsed_s if tally.elapsed_s else 0.0,
        _p99(tally.lag_s),
        _p99(tally.late_s) if tally.late_s else None,
        server,
    )


def limits(seen: Measured) -> Iterator[str]:
    """What the figures do not say of the server, because the client was at its own end."""
    at = f"at {seen.load}"
    if seen.cpu_share >= _BUSY:
        yield (
            f"{at} the client itself was the bottleneck: it used {seen.cpu_share:.0%} of one CPU, and the "
            "server may do more"
        )
    typical_s = seen.quantiles_s[0] if seen.quantiles_s else 0.0
    noticed_s = max(_SMALL_LAG_S, typical_s / 4)
    if seen.lag_p99_s > noticed_s:
        yield (
            f"{at} the client's event loop came up to {seen.lag_p99_s * 1e3:.1f} ms late, which is in the "
            "times above"
        )
    if seen.late_p99_s is not None and seen.late_p99_s > noticed_s:
        yield (
            f"{at} the client fell behind: requests were sent up to {seen.late_p99_s * 1e3:.1f} ms after "
            "they were due, from when they count"
        )
    if seen.unsent:
        yield (
            f"{at} {seen.unsent} requests were not sent: {MOST_IN_FLIGHT} were waiting for answers; the true "
            "times are longer than those above"
        )
    if seen.server and seen.server.requests > seen.answered + sum(seen.errors.values()):
        yield (
            f"{at} the server answered {seen.server.requests - seen.answered} requests more: others asked it "
            "too, and its own figures are of all"
        )


def server_side(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> ServerSide | None:
    """The difference of two answers of the statistics extension; None = there is none: a version was loaded
    between them, whose counters begin anew, nothing was answered, or nothing was told."""
    if not before:
        return None
    known = {(one["name"], one["version"]): one for one in before}
    requests = queue_ns = compute_ns = inferences = executions = 0
    for one in after:
        old = known.get((one["name"], one["version"]))
        requests += _grown(one, old, "success", "count")
        queue_ns += _grown(one, old, "queue", "ns")
        for part in ("compute_input", "compute_infer", "compute_output"):
            compute_ns += _grown(one, old, part, "ns")
        inferences += int(one["inference_count"]) - int(old["inference_count"] if old else 0)
        executions += int(one["execution_count"]) - int(old["execution_count"] if old else 0)
    if requests <= 0 or min(queue_ns, compute_ns, inferences, executions) < 0:
        return None
    rows = inferences / executions if executions else None
    return ServerSide(requests, queue_ns / requests / 1e9, compute_ns / requests / 1e9, rows)


def _grown(one: Mapping[str, Any], old: Mapping[str, Any] | None, name: str, field: str) -> int:
    before = int(old["inference_stats"][name][field]) if old else 0
    return int(one["inference_stats"][name][field]) - before


def _p99(values: Sequence[float]) -> float:
    return float(np.quantile(np.asarray(values), 0.99)) if len(values) else 0.0
