"""Where a version runs: in the server's process or in one of its own, and the instances for either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from onnxd.repository.served import Placed
from onnxd.repository.warmup import WarmupPlan
from onnxd.repository.warmup_runs import warm_up
from onnxd.runtime.deaths import Deaths
from onnxd.runtime.examination_names import Finding
from onnxd.runtime.instance import Instance
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.process_instance import ProcessInstance
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.risks import Risks
from onnxd.runtime.trial_messages import DIED, TrialRequest
from onnxd.runtime.worker_messages import WorkerLoad
from onnxd.scheduler.runner import Runner

MOST_REASONS: Final = 5
"""Of those that are told."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether a version runs in a process of its own."""

    reason: str = ""
    """Why it does; empty = it does not."""
    warning: str = ""
    """Why it had better, where its config says that it does not."""
    lean: bool = False
    """It runs without ONNX Runtime's arena, which would keep the memory of its largest answer, and after one
    that failed for memory take all there is for the next."""


def choose(wanted: Literal["auto", "thread", "process"], found: Risks) -> Isolation:
    """`found` is what speaks for a process of its own. Pure."""
    lean = bool(found.sizes)
    reasons = [*found.crashes, *found.sizes]
    if len(reasons) > MOST_REASONS:
        reasons[MOST_REASONS:] = [f"and {len(reasons) - MOST_REASONS} more"]
    told = "; ".join(reasons)
    if wanted == "process":
        return Isolation("runs in a process of its own, as its config says", lean=lean)
    if not reasons:
        return Isolation()
    if wanted == "auto":
        return Isolation(f"runs in a process of its own: {told}", lean=lean)
    warning = f"isolation: thread keeps it in the server, which requests may harm: {told}"
    return Isolation(warning=warning, lean=lean)


def risks_in(finding: Finding) -> Risks:
    """What a trial has found. A graph that only ONNX Runtime can read is a risk too. Raises LoadFailed."""
    if DIED in finding:
        return Risks((f"its graph could not be read: {finding[DIED]}",))
    return Risks.of(finding)


class RunningInstance(Runner, Placed, Protocol):
    """What the batcher runs on, and what there is to see of it."""


@asynccontextmanager
async def open_instance(
    processes: ProcessRoom,
    what: TrialRequest,
    plan: WarmupPlan,
    deaths: Deaths,
    *,
    isolated: bool,
    model: str,
    label: str,
    expected_run_s: float | None,
) -> AsyncIterator[RunningInstance]:
    """An instance of `what`, warmed up as planned; leaving the context ends it, and what it runs in.

    `deaths` are of the version's processes. `label` is the instance's own. Raises LoadFailed.
    """
    if isolated:
        load = WorkerLoad(replace(what, warmup=plan.runs), plan.counts, model)
        async with ProcessInstance(processes, load, deaths, name=model) as apart:
            yield apart
        return
    session = await asyncio.to_thread(OnnxSession.open, what.path, what.session, what.threads)
    async with Instance(
        session, name=label, loop=asyncio.get_running_loop(), expected_run_s=expected_run_s
    ) as instance:
        await warm_up(session, plan)
        yield instance
