"""One region: a range of a shared memory object that a client has made and the server has opened.

It is read and written as a file is and never mapped: a client that shrinks an object under a mapping kills
the process that touches it (SIGBUS), while a read then just comes back short.
"""

import errno
import os
import stat
from typing import Final

import numpy as np

from onnxd.errors import InvalidRequest, PayloadTooLarge, ServerError, Unavailable
from onnxd.protocol.shared_memory import RegionRow, Registration
from onnxd.protocol.wording import show

_NO_ROOM: Final = (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT)
_NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)


class Region:
    """Owns an open file. Requests hold it; it is closed once it is retired and the last hold has ended.

    Belongs to the loop's thread, but for `read` and `write`, which a holder may call on any.
    """

    def __init__(self, row: RegionRow, file: int, identity: tuple[int, int]) -> None:
        """`identity` tells objects apart: two regions may be ranges of one."""
        self.row: Final = row
        self.identity: Final = identity
        self._file = file
        self._holds = 0
        self._retired = False

    @property
    def closed(self) -> bool:
        return self._file < 0

    def hold(self) -> None:
        self._holds += 1

    def release(self) -> None:
        """Give one hold back."""
        self._holds -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """There will be no new holds."""
        self._retired = True
        self._close_if_unused()

    def close(self) -> None:
        """Close the file, whoever holds it. May be repeated."""
        if not self.closed:
            file, self._file = self._file, -1
            os.close(file)

    def _close_if_unused(self) -> None:
        if self._retired and not self._holds:
            self.close()

    def read(self, offset: int, size: int) -> memoryview:
        """Copy a range that lies within the region. Raises InvalidRequest when the object has lost it."""
        content = np.empty(size, np.uint8).data
        done = 0
        while done < size:
            count = os.preadv(self._file, [content[done:]], self.row.offset + offset + done)
            if not count:
                raise self._shrunk()
            done += count
        return content

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Fill a range that lies within the region. Raises InvalidRequest when the object has lost it, and
        Unavailable when the system has no memory for it."""
        at = self.row.offset + offset
        # Not to grow what its owner has shrunk. Should it shrink after this, it grows again: harmless.
        if os.fstat(self._file).st_size < at + len(content):
            raise self._shrunk()
        left = memoryview(content)
        while left:
            try:
                count = os.pwrite(self._file, left, at)
            except OSError as error:
                raise self._unwritable(error) from error
            at += count
            left = left[count:]

    def _shrunk(self) -> InvalidRequest:
        return InvalidRequest(
            f"shared memory region {show(self.row.name)}: its object has become smaller than what was "
            "registered; make it as large again, or register it anew"
        )

    def _unwritable(self, error: OSError) -> ServerError:
        if error.errno in _NO_ROOM:
            return Unavailable(
                f"shared memory region {show(self.row.name)}: the system has no room left for it",
                retry_after_s=1.0,
            )
        return InvalidRequest(
            f"shared memory region {show(self.row.name)} cannot be written to: {error.strerror}"
        )


def open_region(
    name: str, wanted: Registration, directory: int, file_name: str, *, owner: int, max_size: int
) -> Region:
    """Open an object that lies in the open `directory` and belongs to the user `owner`.

    Raises InvalidRequest unless it is a regular file there that covers the range, PayloadTooLarge for a range
    over `max_size` (-1 = none), and Unavailable when the process has no descriptor left.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        file = os.open(file_name, flags, dir_fd=directory)
    except OSError as error:
        raise _cannot_open(wanted.key, error) from error
    try:
        status = os.fstat(file)
        _check_object(wanted.key, status, os.fstat(directory).st_dev, owner)
        if wanted.offset + wanted.byte_size > status.st_size:
            raise InvalidRequest(
                f"shared memory region {show(name)}: expected it to end within {show(wanted.key)}, which has "
                f"{status.st_size} bytes, got offset {wanted.offset} and size {wanted.byte_size}"
            )
        if 0 <= max_size < wanted.byte_size:
            raise PayloadTooLarge(
                f"shared memory region {show(name)}: its size {wanted.byte_size} is over the limit of "
                f"{max_size} (the setting shared_memory.max_region)"
            )
    except BaseException:
        os.close(file)
        raise
    row = RegionRow(name, wanted.key, wanted.offset, wanted.byte_size)
    return Region(row, file, (status.st_dev, status.st_ino))


def _check_object(key: str, status: os.stat_result, device: int, owner: int) -> None:
    """Raises InvalidRequest for what is not plainly a client's own memory: a pipe blocks, a device acts, a
    second name or a mount leads elsewhere, and another user's memory is not this client's to give."""
    if not stat.S_ISREG(status.st_mode) or status.st_dev != device or status.st_nlink > 1:
        raise InvalidRequest(f"shared memory key {show(key)}: expected a plain shared memory object")
    if status.st_uid != owner:
        raise InvalidRequest(
            f"shared memory key {show(key)}: expected an object of the user that the server runs as, got "
            "another user's"
        )


def _cannot_open(key: str, error: OSError) -> ServerError:
    if error.errno == errno.ENOENT:
        return InvalidRequest(
            f"shared memory key {show(key)}: there is no such object; create it before it is registered"
        )
    if error.errno in _NO_DESCRIPTOR:
        return Unavailable("the server has too many files open to register a region", retry_after_s=1.0)
    return InvalidRequest(
        f"shared memory key {show(key)}: expected a plain shared memory object that the server's user may "
        "read and write"
    )
