"""How a request ends: once, counted, and where that is wished in the order of arrival."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from onnxd.errors import ServerError
from onnxd.scheduler.item import Item
from onnxd.scheduler.ordering import ArrivalOrder
from onnxd.telemetry.statistics import FailureReason, ModelStatistics
from onnxd.tensors import Array


class Delivery:
    """Ends the futures of one batcher; one that has ended already, for whatever reason, is left alone."""

    def __init__(self, statistics: ModelStatistics) -> None:
        self.order = ArrivalOrder()
        self._statistics = statistics

    def answer(self, items: Sequence[Item], answers: Sequence[Mapping[str, Array]]) -> None:
        """A run has answered them; their timelines are complete."""
        rows, queued_ns, sizes = 0, [], []
        for item, outputs in zip(items, answers, strict=True):
            future = item.future
            if future.done():
                continue
            if item.ordered:
                byte_size = sum(array.nbytes for array in outputs.values())
                self.order.settle(item, partial(self._answer_now, item, outputs), byte_size)
                continue
            request = item.request
            rows += item.rows
            queued_ns.append(request.timeline.queue_start_ns)
            sizes.append(request.byte_size)
            future.set_result(outputs)
        if queued_ns:
            self._statistics.record_run(items[0].request.timeline, queued_ns, rows, sizes)

    def fail(self, item: Item, error: Exception) -> None:
        """A run has failed because of it. One that knows why it failed says so with a ServerError."""
        reason = FailureReason.BACKEND if isinstance(error, ServerError) else FailureReason.OTHER
        if not item.ordered:
            self._end(item, error, reason)
        elif not item.future.done():
            self.order.settle(item, partial(self._end, item, error, reason), 0)

    def refuse(self, item: Item, error: Exception, reason: FailureReason) -> None:
        """It ends at once, whatever came of it or before it."""
        self._end(item, error, reason)
        if item.ordered:
            self.order.leave(item)

    def abandoned(self, item: Item) -> None:
        """Its caller has gone."""
        # Not cancelled: it had its answer, or its error, and was counted, before the caller left.
        if item.future.cancelled():
            self._count_failure(item, FailureReason.CANCELED)
        if item.ordered:
            self.order.leave(item)

    def _answer_now(self, item: Item, outputs: Mapping[str, Array]) -> None:
        request = item.request
        self._statistics.record_success(request.timeline, item.rows, request.byte_size)
        item.future.set_result(outputs)

    def _end(self, item: Item, error: Exception, reason: FailureReason) -> None:
        if not item.future.done():
            self._count_failure(item, reason)
            item.future.set_exception(error)

    def _count_failure(self, item: Item, reason: FailureReason) -> None:
        waited_ns = time.monotonic_ns() - item.request.timeline.queue_start_ns
        self._statistics.record_failure(waited_ns, reason)
