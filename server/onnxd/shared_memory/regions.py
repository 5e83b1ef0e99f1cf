"""The regions that clients have registered, each under its principal's own names."""

import os
import resource
from types import TracebackType
from typing import Final

from onnxd.errors import AlreadyExists, MalformedPayload, RateLimited
from onnxd.messages import Principal
from onnxd.protocol.shared_memory import (
    RegionRow,
    Registration,
    check_region_name,
    object_name,
    unknown_region,
)
from onnxd.protocol.wording import show
from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.region import Region, open_region

_DIRECTORY: Final = "/dev/shm"  # noqa: S108 -- where Linux has POSIX shared memory; opened when switched on


class SharedMemoryUnavailable(OSError):
    """The system has no shared memory that can be opened by name. For the operator at start-up."""


class Regions:
    """A context manager: while it is open, regions can be. Belongs to the loop's thread. Leave it when no
    request is left.

    A region that is unregistered is gone by name at once; its file stays open until the last request that
    holds it has ended.
    """

    def __init__(self, config: SharedMemoryConfig, *, owner: int | None = None) -> None:
        """`owner` is the user whose objects may be registered; None = the one that the server runs as."""
        self._config = config
        self._owner = owner
        self._directory = -1
        self._most = config.max_regions
        self._regions: dict[tuple[str, str], Region] = {}
        self._retired: list[Region] = []

    def __enter__(self) -> "Regions":
        """Raises SharedMemoryUnavailable."""
        try:
            self._directory = os.open(_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SharedMemoryUnavailable(
                f"shared_memory.enabled needs {_DIRECTORY}, which cannot be opened ({error.strerror}); "
                "switch it off, or mount a tmpfs there"
            ) from error
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(self._config.max_regions, files // 2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for region in (*self._regions.values(), *self._retired):
            region.close()
        self._regions.clear()
        self._retired.clear()
        os.close(self._directory)

    def register(self, principal: Principal, name: str, wanted: Registration) -> None:
        """Open a region under a name that is free.

        Raises InvalidName, MalformedPayload, PermissionDenied for a key that clients may not use,
        AlreadyExists, RateLimited, and what `open_region` does.
        """
        check_region_name(name)
        file_name = object_name(wanted.key, self._config.prefix)
        if not wanted.byte_size:
            raise MalformedPayload("register: expected 'byte_size' to be at least 1, got 0")
        if (principal.name, name) in self._regions:
            raise AlreadyExists(
                f"shared memory region {show(name)} is registered already; unregister it, or choose another "
                "name"
            )
        if self._count_open() >= self._most:
            raise RateLimited(
                f"there are {self._most} shared memory regions, as many as there may be (the setting "
                "shared_memory.max_regions); unregister one first"
            )
        owner = os.geteuid() if self._owner is None else self._owner
        self._regions[principal.name, name] = open_region(
            name, wanted, self._directory, file_name, owner=owner, max_size=self._config.max_region
        )

    def status(self, principal: Principal, name: str | None) -> tuple[RegionRow, ...]:
        """One region, or with None all of the principal's, by name. Raises NotFound."""
        if name is not None:
            return (self.find(principal, name).row,)
        mine = (region.row for (owner, _), region in self._regions.items() if owner == principal.name)
        return tuple(sorted(mine))

    def unregister(self, principal: Principal, name: str | None) -> None:
        """Forget one region, or with None all of the principal's. One that there is not is no error."""
        names = [each for owner, each in self._regions if owner == principal.name and name in (None, each)]
        for each in names:
            region = self._regions.pop((principal.name, each))
            region.retire()
            if not region.closed:
                self._retired.append(region)

    def find(self, principal: Principal, name: str) -> Region:
        """Raises NotFound: a name of another principal's is as unknown as one that nobody has."""
        region = self._regions.get((principal.name, name))
        if region is None:
            raise unknown_region(name)
        return region

    def _count_open(self) -> int:
        self._retired = [region for region in self._retired if not region.closed]
        return len(self._regions) + len(self._retired)
