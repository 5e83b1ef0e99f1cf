"""Trains the shipped policies again: `python -m sim_core.training`. Minutes on two cores.

The same seed gives the same files on the same kind of processor: training adds up in FP64, and another one
may differ in its last bits.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from sim_core.cli.output import progress_bar
from sim_core.legacy_rps.game import LegacyGameWarning, RockPaperScissors
from sim_core.training.arena import FIRST_SEARCH, SECOND_SEARCH, train_first, train_second
from sim_core.training.evolution import Advance
from sim_core.training.network import Network
from sim_core.training.onnx_file import write_policy
from sim_core.training.rps import SEARCH, train_rps

ARENA_DOC: Final = (
    "Policy for onnxd's arena: {kind}, trained by evolution strategies against {opponent}; exact in FP32."
)
RPS_DOC: Final = "Legacy policy for iterated rock-paper-scissors: linear, trained by evolution strategies."


@click.command()
@click.option("--seed", type=click.IntRange(0, 2**32), default=7, show_default=True)
@click.option("--only", type=click.Choice(["arena", "rps"]), help="One game's policies alone.")
@click.argument("repository", type=click.Path(path_type=Path))
def train(repository: Path, seed: int, only: str | None) -> None:
    """Train the policies of both games and write them into REPOSITORY."""
    if only != "rps":
        with progress_bar("arena_policy version 1", FIRST_SEARCH.generations) as advance:
            first = train_first(seed, _counted(advance))
        _write(first, repository, "arena_policy", 1, ARENA_DOC.format(kind="linear", opponent="a script"))
        with progress_bar("arena_policy version 2", SECOND_SEARCH.generations) as advance:
            second = train_second(seed, first, _counted(advance))
        kind = "one hidden layer"
        _write(second, repository, "arena_policy", 2, ARENA_DOC.format(kind=kind, opponent="version 1"))
    if only != "arena":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LegacyGameWarning)
            game = RockPaperScissors()
        with progress_bar("rps_policy version 1", SEARCH.generations) as advance:
            network = train_rps(game, seed, _counted(advance))
        _write(network, repository, "rps_policy", 1, RPS_DOC)


def _counted(advance: Callable[[int], None]) -> Advance:
    return lambda generation, rating: advance(1)


def _write(network: Network, repository: Path, model: str, version: int, doc: str) -> None:
    path = repository / model / str(version) / "model.onnx"
    write_policy(network, path, doc=doc)
    click.echo(
        f"{model} version {version}: weights {network.fingerprint():016x}, {path.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    train(prog_name="python -m sim_core.training")
