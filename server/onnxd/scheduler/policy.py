"""When a batch is cut, and how big it is: pure decisions, no clock and no I/O.

Batch while busy: an idle instance takes what waits at once, and while all are busy requests collect; a
configured delay counts from the oldest arrival. For one device and waiting cost only, the optimal control
of a batch queue is a threshold that is small or zero (Deb and Serfozo 1973, doi:10.2307/1426040).
"""

from dataclasses import dataclass

from onnxd.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests wait for one version of a model."""

    max_queue_delay: Seconds = 0.0
    """How long the oldest request may be held back so that a fuller batch can form."""
    max_queue_size: int = 1024
    """Requests that may wait; one more is refused at once."""
    max_queue_bytes: Bytes = 256 * 2**20
    """Payload bytes that may wait; -1 = no bound."""
    default_timeout: Seconds = 0.0
    """How long a request may wait when it does not say; 0 = as long as its own deadline allows."""
