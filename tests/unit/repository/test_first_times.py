"""Warm-up runs as the first points of a fit."""

from typing import Final

import numpy as np
import pytest

from onnxd.messages import InferRequest
from onnxd.repository.config import WarmupSection
from onnxd.repository.first_times import first_times
from onnxd.repository.warmup import WarmupPlan, plan_warmup
from onnxd.scheduler.batch import Alone, Rows
from onnxd.scheduler.service_time import ServiceTimes
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

IMAGE: Final = TensorSpec("image", Datatype.FP32, (4,))
SCORES: Final = TensorSpec("scores", Datatype.FP32, (2,))


def spec(max_batch_size: int) -> ModelSpec:
    return ModelSpec("m", 1, (IMAGE,), (SCORES,), max_batch_size)


def test_the_runs_of_a_batched_model_are_a_fit_of_the_bucket_that_its_requests_are_in() -> None:
    known = ServiceTimes(max_rows=32)
    plan = plan_warmup(spec(32), WarmupSection())
    for bucket, rows, seconds in first_times(plan, (0.005, 0.036), spec(32), Rows()):
        known.note(bucket, rows, seconds, now_s=0.0)
    request = InferRequest("m", {"image": np.zeros((3, 4), np.float32)})
    fit = known.fit(Rows().bucket(request, ("scores",)))
    assert fit is not None
    assert fit.predict_s(16) == pytest.approx(0.020)


def test_the_run_of_a_model_that_does_not_batch_is_one_row() -> None:
    plan = plan_warmup(spec(0), WarmupSection())
    assert [time.rows for time in first_times(plan, (0.01,), spec(0), Alone())] == [1]


def test_a_run_that_was_guessed_says_nothing() -> None:
    assert list(first_times(WarmupPlan((), (), guessed=False), (0.01,), spec(8), Rows())) == []
