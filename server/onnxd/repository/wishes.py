"""What is wished of a model, and what is remembered of it between two looks at the disk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from onnxd.errors import ServerError
from onnxd.repository.layout import ModelFiles
from onnxd.repository.override import Override
from onnxd.repository.store import Unsettled


@dataclass(slots=True, eq=False)
class Wish:
    """What a model shall become. `files` None = unloaded; `forget` = its directory is gone as well."""

    files: ModelFiles | None
    forget: bool = False
    key: str = ""
    """Of what the repository has under the name; empty = nothing."""
    override: Override | None = None
    asked: bool = True
    """Somebody did; else it is the disk's."""
    first: bool = False
    """Nothing was tried before, since the server started."""
    roll_back: bool = False
    """To what served before; `files` is None."""
    examine: bool = False
    """Only find out whether they can be loaded."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: ServerError | None = None
    replaced_by: "Wish | None" = None

    async def outcome(self) -> None:
        """Wait for it, or for that of the wish that took its place. Raises what it came to."""
        wish = self
        await wish.done.wait()
        while wish.replaced_by is not None:
            wish = wish.replaced_by
            await wish.done.wait()
        if wish.error is not None:
            raise wish.error


@dataclass(slots=True, eq=False)
class Record:
    """What is remembered of one model between two looks at the disk."""

    attempted: str = ""
    refused: str = ""
    detached: bool = False
    """It serves, or shall serve, files that a load brought, whatever the repository has under its name."""
    settled: tuple[str, bool] = ("", False)
    """`attempted` and `detached` without what is still wished: where an override that fails leads back to."""
    next: Wish | None = None
    busy: bool = False
    asleep: ModelFiles | None = None
    """Examined, and to be loaded when a request asks for it."""
    waking: Wish | None = None
    """That of the first such request, until it has had its outcome."""

    def settle(self, wish: Wish, failures: Sequence[ServerError]) -> None:
        """What is true once a wish has had its outcome."""
        if wish.roll_back:
            # Nothing of it was seen on disk yet: then the disk has no say in it.
            self.settled = wish.key, self.settled[1] if failures else not wish.key
            return
        if wish.override is not None:
            if not failures:
                self.settled = wish.key, bool(wish.override.versions)
            return
        unsettled = any(isinstance(failure, Unsettled) for failure in failures)
        self.settled = "" if unsettled else wish.key, bool(failures) and self.settled[1]
