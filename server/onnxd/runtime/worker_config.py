"""What an operator may set of the processes that models run in."""

from dataclasses import dataclass

from onnxd.units import Bytes, Seconds


@dataclass(frozen=True)
class IsolationConfig:
    """The processes of models that run in one of their own (isolation in a model's config)."""

    memory: Bytes = 4 * 2**30
    """Private memory that one process may need for its model; a run over it fails. -1 = no limit."""
    transfer: Bytes = 2**30
    """What the inputs, or the outputs, of one batch may come to; a batch over it fails. -1 = no limit."""
    start: Seconds = 120.0
    """How long one may take to build its session and warm up."""
