"""What the scheduler's own bookkeeping costs: queueing, run times, caps of batches, comparing requests.

    python -m benchmarks.bookkeeping

In CPU time, of which a busy machine takes little away. Exits 1 when noting a run and asking for the fit takes
more than MOST_US on average.
"""

import asyncio
import itertools
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from benchmarks.table import show
from onnxd.messages import InferRequest, Principal
from onnxd.scheduler.capacity import Waiting, answer_in_s, row_cap
from onnxd.scheduler.item import Item
from onnxd.scheduler.queue import RequestQueue
from onnxd.scheduler.same_request import same_inputs, sketch
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.tensors import Array

MOST_US: Final = 30.0
_BUCKET: Final = (("y",), ("x", 11, (784,)))
_TIMES: Final = 5000
_BATCHES: Final = 500
_BATCH: Final = 32


def main() -> int:
    chance = random.Random(1)
    runs = [
        (rows, 0.004 + 0.0005 * rows * chance.uniform(1, 1.1))
        for rows in chance.choices(range(1, 33), k=_TIMES)
    ]
    known = ServiceTimes(max_rows=32)
    noted = iter(runs * 3)

    def note() -> None:
        known.note(_BUCKET, *next(noted), 0.0)

    def note_and_fit() -> None:
        note()
        known.fit(_BUCKET)

    figures = {"note a run": _microseconds(note), "note a run, ask for the fit": _microseconds(note_and_fit)}
    fit = known.fit(_BUCKET)
    if fit is None:
        raise RuntimeError("nothing was noted")
    waiting = [Waiting(1, 1.0)] * 32
    figures["cap a batch of 32"] = _microseconds(
        lambda: row_cap(fit, waiting, now_s=0.0, max_rows=32, guard_rows=32)
    )
    figures["check a deadline"] = _microseconds(
        lambda: answer_in_s(
            fit, 1, left_s=1.0, same_ahead_rows=9, other_ahead_s=0.0, busy_s=0.01, max_rows=32, runners=1
        )
    )
    for name, values in (("3 KB", 784), ("600 KB", 150_528)):
        one, other = (InferRequest("m", {"x": np.ones((1, values), np.float32)}) for _ in range(2))
        figures[f"sketch a request of {name}"] = _microseconds(partial(sketch, one, ("y",)))
        figures[f"compare two of {name}"] = _microseconds(partial(same_inputs, one, other))
    loop = asyncio.new_event_loop()
    for callers in (1, 2, 16):
        work = _queueing(callers, loop.create_future())
        figures[f"queue a request and take it, of {callers}"] = _microseconds(work, _BATCHES) / _BATCH
    loop.close()
    show("bookkeeping", ["what", "µs"], [[what, f"{figure:.1f}"] for what, figure in figures.items()])
    slow = [
        f"{what}: {figure:.1f} µs" for what, figure in figures.items() if "fit" in what and figure > MOST_US
    ]
    for miss in slow:
        print("MISS:", miss)
    return 1 if slow else 0


def _queueing(callers: int, future: asyncio.Future[Mapping[str, Array]]) -> Callable[[], object]:
    """Of a batch while another waits, from so many callers in turn, none of whom waits for it."""
    principals = [Principal(str(number)) for number in range(callers)]
    requests = itertools.cycle(InferRequest("m", {}, byte_size=8, principal=each) for each in principals)
    queue = RequestQueue()

    def push() -> None:
        for _ in range(_BATCH):
            queue.push(Item(next(requests), 1, ("y",), _BUCKET, 0.0, future))

    def batch() -> None:
        push()
        queue.take(next(queue.most_urgent_first()), _BATCH)

    push()
    return batch


def _microseconds(work: Callable[[], object], times: int = _TIMES) -> float:
    start_s = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - start_s) / times * 1e6


if __name__ == "__main__":
    sys.exit(main())
