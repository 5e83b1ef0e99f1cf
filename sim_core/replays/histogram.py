"""Histograms of latencies: made, added up, and read."""

from bisect import bisect_left
from collections.abc import Iterable

from sim_core.replays.documents import Latencies
from sim_core.replays.schema import LATENCY_BOUNDS_MS


def observed(latencies_ms: Iterable[float]) -> Latencies:
    """The histogram of these latencies."""
    counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    total = most = 0.0
    for latency_ms in latencies_ms:
        counts[bisect_left(LATENCY_BOUNDS_MS, latency_ms)] += 1
        total += latency_ms
        most = max(most, latency_ms)
    return Latencies(counts, round(total, 4), round(most, 4))


def added(parts: Iterable[Latencies]) -> Latencies:
    """The histogram of all of them together."""
    kept = [Latencies.none(), *parts]
    return Latencies(
        [sum(counts) for counts in zip(*(each.counts for each in kept), strict=True)],
        round(sum(each.total_ms for each in kept), 4),
        max(each.most_ms for each in kept),
    )


def quantile_ms(latencies: Latencies, share: float) -> float:
    """The bound below which this share lies; NaN = nothing was observed."""
    wanted = share * sum(latencies.counts)
    if not wanted:
        return float("nan")
    reached = 0
    for count, bound in zip(latencies.counts, LATENCY_BOUNDS_MS, strict=False):
        reached += count
        if reached >= wanted:
            return min(bound, latencies.most_ms)
    return latencies.most_ms
