"""One finished request as lines of text: its stages one under the other, and its batches. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_BAR: Final = 48
_STAGE_NAMES: Final = {"run": "  run"}
"""It is a part of the stage before it."""


def waterfall(model: str, seen: Mapping[str, Any]) -> Iterator[str]:
    """`seen` is a request of GET /v2/models/{m}/recent."""
    ended = datetime.fromtimestamp(seen["ended"], UTC)
    version = f" version {seen['version']}" if seen["version"] is not None else ""
    yield f"{model}{version}: {seen['operation']}, {seen['status']}, {micros(seen['total_us'])}"
    yield f"ended {ended:%Y-%m-%d %H:%M:%S.%f} UTC"
    if seen["id"]:
        yield f"id {seen['id']}"
    if seen["trace_id"]:
        yield f"trace {seen['trace_id']}"
    if seen.get("error"):
        yield f"error {seen['error']}"
    yield ""
    total_us = max(seen["total_us"], 1)
    for name, (start, end) in seen["stages"].items():
        yield _stage(_STAGE_NAMES.get(name, name), start, end, total_us)
    if not seen["stages"]:
        yield "it came to no stage"
    for number, batch in enumerate(seen["batches"], 1):
        yield ""
        yield from _batch(number, batch)


def _stage(name: str, start: int, end: int | None, total_us: int) -> str:
    till = total_us if end is None else end
    first = min(_BAR - 1, start * _BAR // total_us)
    length = max(1, min(_BAR - first, round((till - start) * _BAR / total_us)))
    bar = f"{' ' * first}{('█' if end is not None else '░') * length}".ljust(_BAR)
    took = micros(till - start) if end is not None else "not left"
    return f"{name:<8} from {micros(start):>8}  {took:>8}  |{bar}|"


def _batch(number: int, batch: Mapping[str, Any]) -> Iterator[str]:
    run: Sequence[int | None] = batch["run"]
    start, end = run
    took = micros(end - start) if start is not None and end is not None else "not run to its end"
    again = ", a part of a batch that had failed" if batch["again"] else ""
    yield (
        f"batch {number}: {batch['rows']} rows of {batch['requests']} requests, cut: {batch['cut']}, "
        f"run {took}{again}"
    )
    padding = f", padding {batch['padding'] / batch['elements']:.0%}" if batch["elements"] else ""
    content = f", content {batch['content'][:12]}" if batch["content"] else ""
    yield (
        f"         version {batch['version']}, instance {batch['instance']}, {batch['provider']}"
        f"{content}{padding}"
    )
    if batch["error"]:
        yield f"         error {batch['error']}"


def micros(us: int) -> str:
    """4.31 ms"""
    for unit, name in ((1_000_000, "s"), (1_000, "ms")):
        if us >= unit:
            return f"{us / unit:.3g} {name}"
    return f"{us} µs"
