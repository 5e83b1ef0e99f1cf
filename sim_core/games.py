"""The games by their names."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sim_core.arena.game import Arena
from sim_core.arena.script import script
from sim_core.arrays import FloatArray, IntArray
from sim_core.game import Game
from sim_core.legacy_rps.game import RockPaperScissors, rps_script

GAMES: Final[Mapping[str, Callable[[], Game[Any]]]] = {"arena": Arena, "rps": RockPaperScissors}
_SCRIPTS: Final[Mapping[str, Callable[[FloatArray], IntArray]]] = {"arena": script, "rps": rps_script}


def scripted_rule(game: Game[Any]) -> Callable[[FloatArray], IntArray]:
    """The rule of the game's scripted policy."""
    return _SCRIPTS[game.name]
