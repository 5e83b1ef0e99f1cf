"""What run times do to batches, deadlines and refusals, in virtual time: n rows take 4 + n seconds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from onnxd.errors import DeadlineExceeded, ModelUnavailable, QueueFull
from onnxd.messages import InferRequest, Principal
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.capacity import FRESH_S, KNEE_RUNS
from onnxd.scheduler.item import BucketKey, Item
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.tensors import Array
from tests.support.batching import Scene, result, turns
from tests.support.virtual_time import HeldRunner

MAX_ROWS = 8


def bucket(width: int = 2) -> BucketKey:
    return Rows().bucket(InferRequest("m", {"x": np.zeros((1, width), np.float32)}), ("y",))


class Known(Scene):
    """Its model has run before."""

    def __init__(
        self,
        *runners: HeldRunner,
        base_s: float = 4.0,
        per_row_s: float = 1.0,
        times: int = 1,
        max_rows: int = MAX_ROWS,
        policy: BatchPolicy | None = None,
    ) -> None:
        self.times = ServiceTimes(max_rows=max_rows)
        super().__init__(*runners, max_rows=max_rows, policy=policy, times=self.times)
        for _ in range(times):
            for rows in (1, 2, max(max_rows, 2)):
                seconds = base_s + per_row_s * rows
                key = bucket() if max_rows else ()
                self.times.note(key, rows if max_rows else 1, seconds, self.clock.now_s())

    @property
    def cuts(self) -> list[tuple[int, str]]:
        return [(batch.rows, batch.cut) for batch in self.batcher.last_batches()]


# How big a batch may be.


async def test_no_request_joins_a_batch_that_would_make_another_miss_its_deadline() -> None:
    scene = Known()
    first = [await scene.send(deadline_s=8.5)]
    first += [await scene.send(deadline_s=200.0) for _ in range(6)]
    scene.clock.settle()
    assert scene.runs == [4]
    scene.free()
    assert scene.cuts == [(4, "deadline")]
    scene.free(1)
    assert scene.runs == [4, 3]
    assert [float((await result(answer))[0, 0]) for answer in first] == [2.0] * 7


async def test_no_batch_grows_beyond_the_knee() -> None:
    scene = Known(base_s=0.0, times=KNEE_RUNS)
    for _ in range(3):
        await scene.send()
    scene.clock.settle()
    assert scene.runs == [1]
    scene.free()
    assert scene.cuts == [(1, "knee")]


async def test_few_runs_say_nothing_of_the_knee() -> None:
    scene = Known(base_s=0.0)
    for _ in range(3):
        await scene.send()
    scene.clock.settle()
    assert scene.runs == [3]


async def test_who_asks_for_a_delay_has_full_batches_whatever_they_cost() -> None:
    scene = Known(base_s=0.0, times=KNEE_RUNS, policy=BatchPolicy(max_queue_delay=1.0))
    for _ in range(MAX_ROWS):
        await scene.send()
    scene.clock.settle()
    assert scene.runs == [MAX_ROWS]


async def test_a_new_policy_brings_the_knee_back() -> None:
    scene = Known(base_s=0.0, times=KNEE_RUNS, policy=BatchPolicy(max_queue_delay=100.0))
    for _ in range(3):
        await scene.send()
    scene.batcher.reconfigure(BatchPolicy())
    scene.clock.settle()
    assert scene.runs == [1]


FLOOD, LIGHT = Principal("flood"), Principal("light")


async def flooded(scene: Known, *light: Principal) -> list[int]:
    """The rows of the runs in which a flood of five full batches is worked off, after one of its own."""
    await scene.busy()
    for _ in range(5 * MAX_ROWS):
        await scene.send(tenant=FLOOD)
    for each in light:
        await scene.send(tenant=each)
    for number in range(6):
        scene.free(number)
    return scene.runs[1:]


async def test_who_asks_for_little_beside_a_flood_waits_for_shorter_runs() -> None:
    full = MAX_ROWS
    assert await flooded(Known(times=KNEE_RUNS), LIGHT) == [full, full - 1, full - 1, full, full, 3]


async def test_a_flood_alone_has_full_batches() -> None:
    assert await flooded(Known(times=KNEE_RUNS)) == [MAX_ROWS] * 5


async def test_a_batch_is_held_back_no_longer_than_its_deadline_allows() -> None:
    scene = Known(policy=BatchPolicy(max_queue_delay=100.0))
    await scene.send(deadline_s=9.0)  # its run takes 5 s, and half of its time is over at 4.5 s
    scene.clock.settle()
    assert scene.runs == []
    scene.clock.advance(3.4)
    assert scene.runs == []
    scene.clock.advance(0.2)  # 9 s less the run, and a tenth of it
    assert scene.runs == [1]
    scene.free()
    assert scene.cuts == [(1, "deadline")]


async def test_a_run_without_memory_makes_the_next_batches_smaller() -> None:
    scene = Known()
    failed = [await scene.send(rows=MAX_ROWS)]
    scene.clock.settle()
    scene.runners[0].runs[0].fail(ModelUnavailable("there is not enough memory for this run"))
    for _ in range(MAX_ROWS):
        await scene.send()
    scene.clock.settle()
    assert scene.runs == [8, 7]
    scene.free(1)
    assert scene.cuts[-1] == (7, "guard")
    with pytest.raises(ModelUnavailable):
        await failed[0]


async def test_inputs_that_find_no_memory_make_the_next_batches_smaller() -> None:
    class Hungry(Rows):
        def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
            if sum(item.rows for item in items) == MAX_ROWS:
                raise MemoryError
            return super().stack(items)

    times = ServiceTimes(max_rows=MAX_ROWS)
    scene = Scene(max_rows=MAX_ROWS, form=Hungry(), times=times)
    times.note(bucket(), MAX_ROWS, 1.0, scene.clock.now_s())
    failed = [await scene.send(rows=4) for _ in range(2)]
    scene.clock.settle()
    assert times.guard_rows(bucket()) == 7
    for answer in failed:
        with pytest.raises(ModelUnavailable):
            await answer


# Who is refused.


async def test_a_request_that_cannot_be_answered_in_time_is_refused_when_it_comes() -> None:
    scene = Known()
    answer = await scene.send(deadline_s=4.9)
    with pytest.raises(DeadlineExceeded, match=r"cannot be met: .* about 5\.000 s"):
        await answer
    assert scene.batcher.waiting_requests == 0
    assert sum(scene.statistics.snapshot().failures.values()) == 1


async def test_one_that_can_is_not() -> None:
    scene = Known()
    answer = await scene.send(deadline_s=5.1)
    scene.clock.settle()
    scene.free()
    assert (await result(answer)).shape == (1, 2)


async def test_what_runs_counts_for_as_long_as_it_will_still_take() -> None:
    scene = Known()
    await scene.busy()
    scene.clock.advance(4.0)
    refused = await scene.send(deadline_s=6.5)
    taken = await scene.send(deadline_s=15.0)
    await turns()
    assert (refused.done(), taken.done()) == (True, False)
    with pytest.raises(DeadlineExceeded):
        await refused


async def test_only_what_goes_before_a_request_counts() -> None:
    scene = Known(policy=BatchPolicy(priority_levels=2))
    await scene.busy()
    for _ in range(4):
        await scene.send(rows=MAX_ROWS, priority=2)
    urgent = await scene.send(deadline_s=20.0, priority=1)
    patient = await scene.send(deadline_s=20.0, priority=2)
    await turns()
    assert (urgent.done(), patient.done()) == (False, True)
    with pytest.raises(DeadlineExceeded):
        await patient


async def test_of_a_model_that_does_not_batch_each_request_counts_as_a_row() -> None:
    scene = Known(max_rows=0)
    await scene.busy()
    for _ in range(3):
        await scene.send(rows=5)
    in_time = await scene.send(rows=5, deadline_s=40.0)
    late = await scene.send(rows=5, deadline_s=15.0)
    await turns()
    assert (in_time.done(), late.done()) == (False, True)
    with pytest.raises(DeadlineExceeded):
        await late


async def test_one_that_has_waited_until_it_cannot_be_met_is_never_run() -> None:
    scene = Known()
    await scene.busy()
    lost = await scene.send(deadline_s=15.0)
    kept = await scene.send(deadline_s=60.0)
    scene.clock.advance(11.0)  # the run takes longer than any before
    scene.free()
    with pytest.raises(DeadlineExceeded, match=r"can no longer be answered .* in 4\.000 s"):
        await lost
    assert scene.runs == [1, 1]
    scene.free(1)
    assert (await result(kept)).shape == (1, 2)


async def test_nobody_is_refused_for_runs_of_long_ago() -> None:
    scene = Known()
    scene.clock.advance(FRESH_S + 1)
    await scene.send(deadline_s=1.0)
    scene.clock.settle()
    assert scene.runs == [1]


async def test_nobody_is_refused_for_a_shape_that_has_not_run() -> None:
    scene = Known()
    await scene.send(width=3, deadline_s=1.0)
    scene.clock.settle()
    assert scene.runs == [1]


# What is learnt.


async def test_a_run_counts_from_its_cut_to_its_answer() -> None:
    scene = Scene(times=(times := ServiceTimes(max_rows=8)))
    await scene.send(rows=3)
    scene.clock.settle()
    scene.clock.advance(0.25)
    scene.free()
    ((known, cap),) = scene.batcher.run_times()
    (point,) = known.points
    assert point.rows == 3
    assert point.seconds == pytest.approx(0.25)
    assert (cap.rows, cap.reason, times.fit(bucket()) is not None) == (8, "maximum", True)


async def test_a_run_that_failed_says_nothing_of_how_long_they_take() -> None:
    scene = Scene(times=ServiceTimes(max_rows=8))
    answer = await scene.send()
    scene.clock.settle()
    scene.runners[0].runs[0].fail(ModelUnavailable("no memory"))
    assert scene.batcher.run_times() == ()
    with pytest.raises(ModelUnavailable):
        await answer


async def test_a_full_queue_says_when_what_waits_is_worked_off() -> None:
    scene = Known(policy=BatchPolicy(max_queue_size=4))
    await scene.busy()
    for _ in range(4):
        await scene.send(rows=MAX_ROWS // 2)
    refused = await scene.send()
    with pytest.raises(QueueFull) as caught:
        await refused
    assert caught.value.retry_after_s == 24.0  # two full batches of 12 s


@pytest.mark.parametrize("in_vain", [0, 8])
async def test_whoever_waited_in_vain_has_the_next_one_refused_at_once(in_vain: int) -> None:
    scene = Known(base_s=0.4, per_row_s=0.1)
    await scene.busy()
    waited = [await scene.send(deadline_s=4.0) for _ in range(in_vain)]
    scene.clock.advance(4.1)
    for each in waited:
        with pytest.raises(DeadlineExceeded, match="while waiting"):
            await result(each)
    # Predicted: half a second.
    answer = await scene.send(deadline_s=0.65)
    await turns()
    assert answer.done() == bool(in_vain)
    if in_vain:
        with pytest.raises(DeadlineExceeded, match="cannot be met"):
            await result(answer)
