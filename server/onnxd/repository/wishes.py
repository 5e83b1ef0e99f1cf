"""What is wished of a model, and what is remembered of it between two looks at the disk."""

import asyncio
from dataclasses import dataclass, field

from onnxd.errors import ServerError
from onnxd.repository.layout import ModelFiles
from onnxd.repository.override import Override


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
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: ServerError | None = None
    replaced_by: "Wish | None" = None


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
