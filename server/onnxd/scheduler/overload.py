"""When a queue that never empties is kept short: what an operator can set.

Off by default: a job that keeps hundreds of requests in flight has such a queue for good, and wants to.
Deadlines and the bounds of the queue hold in any case.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt

from onnxd.units import Seconds


@dataclass(frozen=True, slots=True)
class OverloadConfig:
    """When a model that is asked for more than it can do refuses instead of answering everybody late."""

    target_delay: Seconds = 0.0
    """The wait above which a caller whose requests have been waiting without a pause for overload.interval is
    refused at once; 0 = none."""
    interval: Annotated[Seconds, Gt(0)] = 0.5
    """How long a caller may always have something in a model's queue before overload.target_delay holds."""


NO_TARGET = OverloadConfig()
