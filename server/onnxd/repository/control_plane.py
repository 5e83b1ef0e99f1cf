"""What the front ends need of the repository's lifecycle: the seam at which their tests put one in memory."""

from typing import Protocol

from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import IndexEntry


class ControlPlane(Protocol):
    """Index, load, rollback and unload. Lifecycle is the real one, and says what each raises."""

    async def index(self) -> tuple[IndexEntry, ...]: ...

    @property
    def overrides_permitted(self) -> bool: ...

    async def load(self, name: str, given: LoadOverride | None = None) -> None: ...

    async def rollback(self, name: str) -> None: ...

    async def unload(self, name: str) -> None: ...
