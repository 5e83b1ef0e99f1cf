"""Options that several commands have."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from sim_core.games import GAMES
from sim_core.policies.served import REQUEST_PER, Asking

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

POLICY_HELP = "A POLICY is random, scripted, or a served MODEL or MODEL:VERSION."


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """How matches are played."""

    game: str
    seed: int
    parallel: int
    url: str
    per: REQUEST_PER
    deadline_s: float

    def asking(self) -> Asking:
        return Asking(per=self.per, deadline_s=self.deadline_s)


def match_options(command: CommandT) -> CommandT:
    """The options of MatchOptions, by the same names."""
    options = (
        click.option("--game", type=click.Choice(list(GAMES)), default="arena", show_default=True),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True,
                     help="With a match's number, decides its ground."),
        click.option("--parallel", type=click.IntRange(1, 4096), default=16, show_default=True,
                     help="Matches played at once; changes no result."),
        click.option("--url", default="grpc://127.0.0.1:8001", show_default=True,
                     help="Of the server. http:// works too, with fewer requests at once."),
        click.option("--per", type=click.Choice(["agent", "team"]), default="agent", show_default=True,
                     help="One request for each agent, or for each team."),
        click.option("--deadline", "deadline_s", type=click.FloatRange(0, min_open=True), default=5.0,
                     show_default=True, help="Seconds for a decision; then the fallback action (the first)."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def replay_option(command: CommandT) -> CommandT:
    return click.option(
        "--replay",
        "replay",
        type=click.Path(path_type=Path),
        help="Directory, not there yet, to write a replay to (docs/replays.md).",
    )(command)


def json_option(command: CommandT) -> CommandT:
    return click.option("--json", "as_json", is_flag=True, help="The same as JSON.")(command)
