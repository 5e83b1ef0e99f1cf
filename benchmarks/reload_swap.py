"""Sets of files that must never be mixed: `..data` swaps as the kubelet makes them, and slow writes in place.

A set is a graph and a labels file that give the same number; an answer carries both.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import models
from benchmarks.harness import scratch, server
from benchmarks.payloads import get_text
from benchmarks.reload_traffic import CONNECTIONS, Traffic, Window, label_client, repeat

MOUNTED: Final = "mounted"
WRITTEN: Final = "written"
_CONFIG: Final = "max_batch_size: 64\noutputs: [{name: y, labels: labels.txt}]\n"
_LIMIT_S: Final = 60.0
_SETTLE: Final = "200ms"
_CHUNKS: Final = 8
_BETWEEN_CHUNKS_S: Final = 0.005
"""Far below the settle time: files that change together have to land within it."""


@dataclass(slots=True)
class Swaps:
    """What came of it."""

    wanted: int
    swaps: int = 0
    writes: int = 0
    answered: int = 0
    loads: int = 0
    """Of both models, as the server counts them."""
    seconds: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)


async def swap_and_write(
    swaps: int, deadline_s: float = 3600.0, progress: Callable[[int], None] = lambda number: None
) -> Swaps:
    """So many swaps of one model, and as many slow writes of another at the same time."""
    found = Swaps(swaps)
    traffic = Traffic({MOUNTED: Window(), WRITTEN: Window()})
    with scratch() as directory:
        repository = directory / "models"
        _mount(repository / MOUNTED, 0)
        _write_set(repository / WRITTEN, 0)
        with server(repository, directory / "state", ONNXD_WATCH_SETTLE=_SETTLE) as running:
            start_s = time.monotonic()
            async with AsyncExitStack() as resources, asyncio.TaskGroup() as tasks:
                for at in range(CONNECTIONS):
                    ask = await label_client(running, at, resources)
                    tasks.create_task(repeat(ask, [MOUNTED, WRITTEN], traffic, at // 2))
                await traffic.halve(1.0)
                ends_s = time.monotonic() + deadline_s
                async with asyncio.TaskGroup() as writers:
                    writers.create_task(_swaps(repository / MOUNTED, traffic, found, ends_s, progress))
                    writers.create_task(_writes(repository / WRITTEN, traffic, found, ends_s))
                traffic.stopping = True
            found.seconds = time.monotonic() - start_s
            found.answered, found.failures = traffic.answered, dict(traffic.failures)
            found.loads = _loads(get_text(running.http_port, "/metrics"))
    return found


async def _swaps(
    model: Path, traffic: Traffic, found: Swaps, ends_s: float, progress: Callable[[int], None]
) -> None:
    for number in range(1, found.wanted + 1):
        if time.monotonic() > ends_s:
            break
        traffic.windows[MOUNTED].newest = number
        _mount(model, number)
        await traffic.seen(MOUNTED, number, _LIMIT_S)
        found.swaps = number
        progress(number)


async def _writes(model: Path, traffic: Traffic, found: Swaps, ends_s: float) -> None:
    for number in range(1, found.wanted + 1):
        if time.monotonic() > ends_s:
            break
        traffic.windows[WRITTEN].newest = number
        # In either order: the model first, or what belongs to it.
        files = [(model / "1/model.onnx", _graph(number)), (model / "labels.txt", _labels(number))]
        for path, content in files if number % 2 else reversed(files):
            await _write_slowly(path, content)
        await traffic.seen(WRITTEN, number, _LIMIT_S)
        found.writes = number


def _mount(model: Path, number: int) -> None:
    """As the kubelet does it: a new directory beside the old, and one rename of the link that leads to it."""
    model.mkdir(parents=True, exist_ok=True)
    before = (model / "..data").resolve() if (model / "..data").is_symlink() else None
    content = model / f"..set-{number}"
    _write_set(content, number)
    link = model / "..data_tmp"
    link.symlink_to(content.name)
    link.rename(model / "..data")
    for name in ("config.yaml", "labels.txt", "1"):
        with contextlib.suppress(FileExistsError):
            (model / name).symlink_to(f"..data/{name}")
    if before is not None:
        shutil.rmtree(before)


def _write_set(directory: Path, number: int) -> None:
    (directory / "1").mkdir(parents=True)
    (directory / "config.yaml").write_text(_CONFIG)
    (directory / "labels.txt").write_bytes(_labels(number))
    (directory / "1" / "model.onnx").write_bytes(_graph(number))


async def _write_slowly(path: Path, content: bytes) -> None:
    size = -(-len(content) // _CHUNKS)
    with path.open("wb") as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            file.flush()
            await asyncio.sleep(_BETWEEN_CHUNKS_S)


def _graph(number: int) -> bytes:
    return models.row_constant(number, width=1)


def _labels(number: int) -> bytes:
    return f"{number}\n".encode()


def _loads(metrics: str) -> int:
    lines = [line for line in metrics.splitlines() if line.startswith("onnxd_model_loads_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def judge(found: Swaps) -> list[str]:
    misses = [f"{count} x {failure}" for failure, count in found.failures.items()]
    for what, count in (("swaps", found.swaps), ("writes", found.writes)):
        if count < found.wanted:
            misses.append(f"only {count} of {found.wanted} {what} in the time there was")
    published = found.swaps + found.writes + 2
    # A slow write may be looked at between its two files, once they have settled: never more than that.
    if found.loads > published + found.writes:
        misses.append(f"{found.loads} loads of {published} publications")
    return misses
