"""A request that waits or runs, as the scheduler's parts hand it to each other."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnxd.messages import InferRequest
from onnxd.tensors import Array

BucketKey = tuple[object, ...]
"""Requests with equal keys may share a batch (batch.py says which do)."""


def rank_of(level: int, *, delayed: bool = False) -> int:
    """What goes first: the higher level (1 is the highest), and of one level those that are not delayed."""
    return 2 * level + delayed


@dataclass(slots=True, eq=False)
class Item:
    """A request that waits or runs. The future travels with it; whoever takes it off the queue ends it."""

    request: InferRequest
    rows: int
    outputs: tuple[str, ...]
    bucket: BucketKey
    arrived_s: float
    future: asyncio.Future[Mapping[str, Array]]
    rank: int = 2
    """The least goes first (rank_of)."""
    queued: bool = True
    times_out_s: float = math.inf
    """When it will have waited too long."""
    may_be_delayed: bool = False
    """What becomes of it then: it goes behind those of its level that have not, or it is refused."""
    ordered: bool = False
    """Its answer leaves in its turn (ordering.py)."""

    @property
    def level(self) -> int:
        return self.rank // 2

    @property
    def start_by_s(self) -> float:
        """When it is not to be held back any longer: after half of the time that it has."""
        deadline_s = self.request.deadline_s
        ends_s = math.inf if deadline_s is None else deadline_s
        if not self.may_be_delayed and self.times_out_s < ends_s:
            ends_s = self.times_out_s
        return (self.arrived_s + ends_s) / 2
