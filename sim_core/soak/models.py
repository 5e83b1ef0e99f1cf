"""The soak's models in a repository: networks that nobody trained, whose answers tell which they are.

Files are put there as the documentation of the server says: complete, then renamed into place.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from sim_core.errors import SimulationError
from sim_core.game import Game
from sim_core.replays.documents import write_whole
from sim_core.soak.ledger import Ledger
from sim_core.training.network import Network, Shape
from sim_core.training.onnx_file import encode_policy

DISTURBED: Final = "soak_policy"
STILL: Final = "soak_still"
"""Beside it, and left alone: not one of its decisions may fail."""
VERSIONS: Final = (1, 2)
_CONFIG: Final = "max_batch_size: 64\nversions: all\n"
_BROKEN_CONFIG: Final = "max_batch_size: many\n"
_BROKEN_MODEL: Final = b"this is no model"
_HIDDEN: Final = 8


@dataclass(frozen=True, slots=True)
class Shelf:
    """A model's directory, and what the ledger must know of what is put there."""

    directory: Path
    ledger: Ledger
    network: Callable[[], Network]
    """Another one each time."""

    def publish(self, version: int) -> int:
        """New weights; their fingerprint."""
        network = self.network()
        fingerprint = network.fingerprint()
        self.ledger.publish(version, fingerprint)
        self._put(version, encode_policy(network, doc="A policy that nobody trained."))
        return fingerprint

    def break_version(self, version: int) -> None:
        """A file that is no model."""
        self._put(version, _BROKEN_MODEL)

    def remove(self, version: int) -> None:
        """In one step; the rest is cleared away under a name that is ignored."""
        gone = self.directory / f"{version}.tmp"
        (self.directory / str(version)).rename(gone)
        shutil.rmtree(gone)

    def write_config(self, *, broken: bool = False) -> None:
        write_whole(self.directory / "config.yaml", (_BROKEN_CONFIG if broken else _CONFIG).encode())

    def _put(self, version: int, content: bytes) -> None:
        (self.directory / str(version)).mkdir(parents=True, exist_ok=True)
        write_whole(self.directory / str(version) / "model.onnx", content)


def networks(game: Game[Any], seed: int) -> Callable[[], Network]:
    """One after the other, each with weights of its own."""
    shape = Shape(game.observation_size, _HIDDEN, len(game.actions))
    numbers = count()

    def following() -> Network:
        rng = np.random.Generator(np.random.Philox(key=[seed, next(numbers)]))
        return Network.unpacked(shape, rng.standard_normal(shape.parameters) * 0.5)

    return following


def put_models(repository: Path, game: Game[Any], seed: int) -> tuple[Shelf, Shelf]:
    """The disturbed one and the still one, in this repository.

    Raises SimulationError where it has one of these names already, or cannot be written.
    """
    for name in (DISTURBED, STILL):
        if (repository / name).exists():
            raise SimulationError(
                f"{repository / name}: is there already; the soak makes it: remove it, if one was killed"
            )
    following = networks(game, seed)
    shelves = [Shelf(repository / name, Ledger(name), following) for name in (DISTURBED, STILL)]
    try:
        for shelf, versions in zip(shelves, (VERSIONS, VERSIONS[:1]), strict=True):
            shelf.directory.mkdir()
            shelf.write_config()
            for version in versions:
                shelf.ledger.confirm(version, shelf.publish(version))
    except OSError as error:
        remove_models(repository)
        raise SimulationError(f"{repository}: cannot be written: {error.strerror}") from error
    return shelves[0], shelves[1]


def remove_models(repository: Path) -> None:
    """What `put_models` has made."""
    for name in (DISTURBED, STILL):
        shutil.rmtree(repository / name, ignore_errors=True)
