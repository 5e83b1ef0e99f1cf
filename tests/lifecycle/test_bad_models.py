"""Everything bad that a repository may hold, published under load: by itself, and over a good model.

All of it is published at once, and the tests look at what came of it.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from onnxd.repository.catalog import ModelState
from onnxd.repository.transition import Transitions
from onnxd.runtime.trial import TrialLimits
from tests.lifecycle.bad_models import OVER, REASONS, Bad, bad_models
from tests.support.graphs import row_constant
from tests.support.references import NEEDED
from tests.support.server import RunningServer, publish, running_server
from tests.support.traffic import Outcome, Window, drive
from tests.support.until import until

CONFIG = "max_batch_size: 8\n"
PATIENCE_S = 150.0
LIMITS = TrialLimits(memory=512 * 2**20, cpu=1.0, wall=20.0)


@dataclass(slots=True)
class Seen:
    """What came of it."""

    reasons: dict[str, str] = field(default_factory=dict)
    """By model, what the index says that is wrong."""
    states: dict[str, set[ModelState | None]] = field(default_factory=dict)
    loads: Counter[str] = field(default_factory=Counter)
    """Attempts to load each model, those at the start and those that failed among them."""
    changes: dict[str, int] = field(default_factory=dict)
    """How often each model's files were changed."""
    outcome: Outcome = field(default_factory=Outcome)
    """Of the requests to the good models."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("bad")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.bin").write_bytes(bytes(NEEDED))
    return asyncio.run(_publish_all(folder, list(bad_models(elsewhere).values())))


async def _publish_all(folder: Path, all_bad: list[Bad]) -> Seen:
    seen = Seen()
    repository = folder / "models"
    for name in ("good", *(f"over-{name}" for name in OVER)):
        publish(repository, name, 1, row_constant(1), CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        _count_loads(patch, seen.loads)
        async with running_server(repository, folder / "state", trial=LIMITS) as server:
            await _under_load(server, all_bad, seen)
            for entry in await server.server.lifecycle.index():
                seen.states.setdefault(entry.name, set()).add(entry.state)
                if entry.reason:
                    seen.reasons[entry.name] = entry.reason
    return seen


def _count_loads(patch: pytest.MonkeyPatch, loads: Counter[str]) -> None:
    load = Transitions.load

    async def counted(self: Transitions, name: str, *given: Any, **named: Any) -> Any:
        loads[name] += 1
        return await load(self, name, *given, **named)

    patch.setattr(Transitions, "load", counted)


async def _under_load(server: RunningServer, all_bad: list[Bad], seen: Seen) -> None:
    """Publish everything, and wait until it has been looked at and looked at again."""
    done = asyncio.Event()
    good = ("good", *(f"over-{name}" for name in OVER))
    window = Window(oldest=lambda: 1, newest=lambda: 1)

    async def publish_and_wait() -> None:
        for bad in all_bad:
            bad.publish_new(server.repository, f"new-{bad.name}")
            if bad.name in OVER:
                seen.changes[bad.name] = bad.publish_over(server.repository / f"over-{bad.name}")
        names = {f"new-{bad.name}" for bad in all_bad} | {f"over-{name}" for name in OVER}
        waiting = names

        async def all_refused() -> bool:
            nonlocal waiting
            waiting = names - {entry.name for entry in await server.server.lifecycle.index() if entry.reason}
            return not waiting

        try:
            await until(all_refused, patience_s=PATIENCE_S)
        except TimeoutError:
            pytest.fail(f"not refused: {sorted(waiting)}")
        for marker in ("marker-1", "marker-2"):  # each takes at least one more look at everything
            publish(server.repository, marker, 1, row_constant(1), CONFIG)
            await server.ready(marker)
        done.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publish_and_wait())
        seen.outcome = await drive(
            server.http, server.grpc, good, window, lambda _: done.is_set(), connections=4, pause_s=0.02
        )


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", REASONS)
def test_a_bad_model_is_unavailable_and_says_why(seen: Seen, name: str) -> None:
    assert seen.states[f"new-{name}"] == {ModelState.UNAVAILABLE}
    assert seen.loads[f"new-{name}"] <= 1
    assert re.search(REASONS[name], seen.reasons[f"new-{name}"]), seen.reasons[f"new-{name}"]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", OVER)
def test_over_a_good_model_it_leaves_that_serving_and_is_tried_once(seen: Seen, name: str) -> None:
    assert ModelState.READY in seen.states[f"over-{name}"]
    assert seen.loads[f"over-{name}"] <= 1 + seen.changes[name]
    assert re.search(REASONS[name], seen.reasons[f"over-{name}"]), seen.reasons[f"over-{name}"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_request_to_the_good_models_fails_meanwhile(seen: Seen) -> None:
    assert not seen.outcome.failures
    assert (seen.outcome.mixed, seen.outcome.stale) == (0, 0)
    assert seen.outcome.answered > 4 * len(OVER)  # each several times
