"""What an operator can set about shared memory."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from pydantic import Field

from onnxd.units import Bytes

KeyPrefix = Annotated[str, Field(pattern=r"^/?[A-Za-z0-9._:-]{0,100}$", examples=["/inf_"])]


@dataclass(frozen=True, slots=True)
class SharedMemoryConfig:
    """System shared memory: tensors handed over by clients on the same machine."""

    enabled: bool = False
    """Whether clients may register objects in /dev/shm, to have inputs read there and outputs written."""
    local_only: bool = True
    """Whether that is for callers from loopback addresses only, as all are behind a proxy on this machine."""
    prefix: KeyPrefix = ""
    """How every key must begin (/inf_); empty = any object in /dev/shm that belongs to the server's user."""
    max_regions: Annotated[int, Gt(0)] = 1024
    """Regions at one time, each an open file; never more than half of the files that the process may open."""
    max_region: Bytes = 16 * 2**30
    """The largest region; -1 = no limit. It costs no memory before a request names a part of it."""
    max_in_flight: Bytes = 2**30
    """Bytes of inputs copied out of regions for requests in flight, refused beyond it; -1 = no limit."""
