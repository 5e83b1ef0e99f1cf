"""The warm-up runs as the first run times of a version, so that the scheduler has not to learn on callers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from onnxd.messages import InferRequest
from onnxd.repository.warmup import WarmupPlan
from onnxd.scheduler.batch import BatchForm
from onnxd.scheduler.item import BucketKey
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.tensors import ModelSpec


class FirstTime(NamedTuple):
    """What ServiceTimes.note takes of a run."""

    bucket: BucketKey
    rows: int
    seconds: float


def first_times(
    plan: WarmupPlan, run_times_s: Sequence[float], spec: ModelSpec, form: BatchForm
) -> Iterator[FirstTime]:
    """`run_times_s`: of each run of the plan, as the trial measured it. In the bucket of requests for all
    outputs. Nothing for a model with ragged inputs, whose runs do not look like its requests."""
    if spec.is_ragged:
        return
    outputs = tuple(output.name for output in spec.outputs)
    for run, seconds in zip(
        plan.runs, run_times_s, strict=False
    ):  # a guessed run has a time and no place here
        inputs = {name: blank.array() for name, blank in run.items()}
        rows = next(iter(inputs.values())).shape[0] if spec.batches and inputs else 1
        yield FirstTime(form.bucket(InferRequest(spec.name, inputs), outputs), rows, seconds)


def seeded(first: Iterable[FirstTime], *, max_rows: int, now_s: float) -> ServiceTimes:
    """Run times that begin with these; `max_rows` 0 = each run counts as a row."""
    times = ServiceTimes(max_rows=max_rows)
    for bucket, rows, seconds in first:
        times.note(bucket, rows if max_rows else 1, seconds, now_s)
    return times
