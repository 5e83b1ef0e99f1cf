"""What a config puts in front of a batcher: counting -> single flight -> large requests -> batcher."""

from typing import Final

from onnxd.scheduler.clock import Clock
from onnxd.scheduler.large_requests import LargeRequests
from onnxd.scheduler.single_flight import SingleFlight, Spawn
from onnxd.scheduler.submit import Counted, CountedInFront, Submit


class Front:
    """Where the requests of a version come in. Identical ones are merged before large ones are divided."""

    def __init__(
        self,
        submit: Submit,
        *,
        max_rows: int,
        instances: int,
        single_flight: bool,
        split_large: bool,
        statistics: CountedInFront,
        spawn: Spawn,
        clock: Clock,
    ) -> None:
        """`submit`: the batcher's, which was given the same statistics."""
        self.most_rows = max_rows
        """Of a request; 0 = the model does not batch."""
        if split_large:
            large = LargeRequests(submit, max_rows=max_rows, instances=instances)
            submit, self.most_rows = large.submit, large.most_rows
        if single_flight:
            flights = SingleFlight(submit, spawn=spawn, clock=clock, joined=statistics.record_joined)
            submit = flights.submit
        self.submit: Final = Counted(submit, statistics).submit
