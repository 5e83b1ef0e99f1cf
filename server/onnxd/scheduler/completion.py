"""What comes of a run that has ended: answers, a search for the guilty request, or failures."""

import time
from collections.abc import Mapping

from onnxd.errors import ExecutionFailed
from onnxd.scheduler.batch import BatchForm
from onnxd.scheduler.bisection import Bisection, worth_bisecting
from onnxd.scheduler.delivery import Delivery
from onnxd.scheduler.history import History
from onnxd.scheduler.run import Run
from onnxd.scheduler.runner import RunResult
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array


class Completion:
    """Of the runs of one batcher. Parts of failed batches wait in `bisection` for the batcher to run them."""

    def __init__(self, model: str, form: BatchForm, delivery: Delivery, statistics: ModelStatistics) -> None:
        self.bisection = Bisection()
        self.history = History()
        self._model = model
        self._form = form
        self._delivery = delivery
        self._statistics = statistics

    def settle(self, run: Run, result: RunResult, *, final: bool) -> Exception | None:
        """End the requests of a run, or have them run again; `final` = there will be no more runs.

        What the run failed with, if it did.
        """
        items, error, start_ns, end_ns = run.items, result.error, result.start_ns, result.end_ns
        answers: list[Mapping[str, Array]] = []
        if result.outputs is not None:
            try:
                answers = self._form.split(items, result.outputs)
            except Exception as fault:  # of whatever kind: each request must hear of it
                error = fault
        split_ns = time.monotonic_ns()
        for item in items:
            timeline = item.request.timeline
            timeline.infer_start_ns = start_ns
            timeline.infer_end_ns = end_ns
            timeline.compute_end_ns = split_ns
        if (execution := run.execution) is not None:
            execution.start_ns, execution.end_ns, execution.settled_ns = start_ns, end_ns, split_ns
            execution.error = "" if error is None else type(error).__name__
        self.history.add(run, result, failed=error is not None)
        if error is not None:
            self._fail(run, error, of_outputs=result.outputs is not None, final=final)
            return error
        self._statistics.record_batch(run.rows, start_ns - run.taken_ns, end_ns - start_ns, split_ns - end_ns)
        self._delivery.answer(items, answers)
        return None

    def _fail(self, run: Run, error: Exception, *, of_outputs: bool, final: bool) -> None:
        divisible = worth_bisecting(error)
        if divisible and not final and self.bisection.divide(run):
            if run.search is None:
                self._statistics.record_bisection()
            return
        if divisible and len(run.items) > 1 and not of_outputs:
            # What the model says of one request's data is not for the others to read.
            error = ExecutionFailed(
                f"a batch of {len(run.items)} requests made model '{self._model}' fail, and it was not found "
                f"out which of them; send it again, by itself"
            )
        for item in run.items:
            self._delivery.fail(item, error)
