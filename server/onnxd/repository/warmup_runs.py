"""The runs before a version is READY, in the server: they allocate what the first request would wait for."""

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Final, Protocol

from onnxd.errors import LoadFailed, ServerError
from onnxd.repository.warmup import WarmupPlan
from onnxd.tensors import Array

MAX_WARMUP_S: Final = 300.0
"""For all runs of one instance: a config may ask for 64,000 of them."""


class Session(Protocol):
    """What is run; OnnxSession is one."""

    def run(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> Mapping[str, Array]: ...


async def warm_up(session: Session, plan: WarmupPlan, *, limit_s: float = MAX_WARMUP_S) -> None:
    """Run what is planned, as often as is planned, on a thread. Raises LoadFailed.

    Whoever cancels this does not wait for the run in progress; it is the last.
    """
    stop = threading.Event()
    try:
        await asyncio.to_thread(_run_all, session, plan, limit_s, stop)
    finally:
        stop.set()


def _run_all(session: Session, plan: WarmupPlan, limit_s: float, stop: threading.Event) -> None:
    until_s = time.monotonic() + limit_s
    done, total = 0, sum(plan.counts)
    for run, count in zip(plan.runs, plan.counts, strict=True):
        try:
            inputs = {name: blank.array() for name, blank in run.items()}
            for _ in range(count):
                if stop.is_set():
                    return
                if time.monotonic() >= until_s:
                    raise LoadFailed(
                        f"its warm-up took longer than {limit_s:g} s, in which {done} of {total} runs were "
                        "done on one instance; ask for fewer (warmup.samples, count) or smaller ones"
                    )
                session.run(inputs, ())
                done += 1
        except MemoryError as error:
            raise LoadFailed(f"warm-up run {done + 1} of {total} ran out of memory") from error
        except LoadFailed:
            raise
        except ServerError as error:
            raise LoadFailed(f"warm-up run {done + 1} of {total} failed: {error.message}") from error
