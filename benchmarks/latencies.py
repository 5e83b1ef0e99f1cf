"""What a load generator says at its end."""

from collections.abc import Collection, Sequence
from statistics import quantiles


def summary(latencies_s: Collection[float], failed: int) -> dict[str, float]:
    """As load.LoadResult has it: of the requests that were answered, and how many were not as they should."""
    p50_us, p99_us = percentiles([1e6 * each for each in latencies_s])
    return {"requests": len(latencies_s), "failed": failed, "p50_us": p50_us, "p99_us": p99_us}


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile; zeros of nothing."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 0.0)
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]
