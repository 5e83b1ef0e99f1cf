"""Memory that two processes share: a file without a name, which both have mapped.

It belongs to nobody's file system and ends with the last process that has it, however that one ends. It only
ever grows, which is sealed where the system can: a reader whose file was cut short would die of SIGBUS.
"""

import fcntl
import mmap
import os
import tempfile
from typing import Final

import numpy as np

from onnxd.tensors import Array

_GRANULE_BYTES: Final = 64 * 2**10
_KEPT_BYTES: Final = 16 * 2**20
"""What stays when a batch needed more: the next one hardly ever does."""


class SharedBuffer:
    """One process's view of the memory. Not thread-safe."""

    def __init__(self, descriptor: int, *, writable: bool, limit_bytes: int = -1) -> None:
        """`writable` False: this process only reads it. `limit_bytes` -1 = no limit on its growth. Takes over
        the descriptor, which `close` closes."""
        self.descriptor: Final = descriptor
        self._writable = writable
        self._limit_bytes = limit_bytes
        self._map: mmap.mmap | None = None
        self.size = 0
        """Bytes that are mapped here."""

    def reserve(self, size: int) -> None:
        """Makes room for this many bytes. Raises MemoryError over the limit, and where there is no more."""
        if size <= self.size:
            return
        if 0 <= self._limit_bytes < size:
            raise MemoryError(f"{size} bytes are over the limit of {self._limit_bytes}")
        grown = max(_GRANULE_BYTES, 1 << (size - 1).bit_length())
        if self._limit_bytes >= 0:
            grown = min(grown, max(self._limit_bytes, size))
        try:
            os.ftruncate(self.descriptor, grown)
            self._remap(grown)
        except OSError as error:
            raise MemoryError(f"no shared memory of {grown} bytes: {error.strerror}") from error

    def follow(self, size: int) -> None:
        """Maps what the writer has grown it to. Raises ValueError if it has not, or over the limit."""
        if size > self.size:
            if 0 <= self._limit_bytes < size:
                raise ValueError(f"the other side says {size} bytes, over the limit of {self._limit_bytes}")
            if os.fstat(self.descriptor).st_size < size:
                raise ValueError(f"the other side says {size} bytes, and there are fewer")
            self._remap(size)

    def bytes_at(self, offset: int, length: int) -> Array:
        """A view of a range, as UINT8. Raises ValueError for one that is not within what is mapped."""
        if self._map is None or offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"{length} bytes at {offset} are not within the {self.size} that are mapped")
        return np.frombuffer(self._map, np.uint8, length, offset)

    def give_back(self) -> None:
        """Lets the system have the memory behind the first part, after a large batch. What was there reads as
        zeros, on both sides. Needs it to be writable here."""
        if self._map is not None and self.size > _KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE, _KEPT_BYTES, self.size - _KEPT_BYTES)

    def close(self) -> None:
        """Views that are still there keep the memory until they go."""
        self._map = None
        os.close(self.descriptor)

    def _remap(self, size: int) -> None:
        # The old map goes with the last view of it.
        access = mmap.PROT_READ | mmap.PROT_WRITE if self._writable else mmap.PROT_READ
        self._map = mmap.mmap(self.descriptor, size, mmap.MAP_SHARED, access)
        self.size = size


def anonymous_file() -> int:
    """A descriptor of an empty file that has no name, not inherited unless it is passed on."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        return descriptor
    descriptor = os.memfd_create("onnxd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor
