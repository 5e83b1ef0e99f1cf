"""`python -m sim_core tournament`."""

from itertools import combinations
from pathlib import Path
from typing import Any

import click

from sim_core.cli.options import POLICY_HELP, MatchOptions, json_option, match_options, replay_option
from sim_core.cli.output import print_json, print_table
from sim_core.cli.play import policy_document
from sim_core.cli.running import run_matches
from sim_core.games import GAMES
from sim_core.matches.play import fixtures
from sim_core.matches.rating import rate, score_row
from sim_core.matches.results import Results, scores
from sim_core.matches.session import Session


@click.command("tournament", help=f"Let each policy play each other, and rate them. {POLICY_HELP}")
@click.argument("policies", nargs=-1, required=True)
@click.option("--matches", type=click.IntRange(min=1), default=100, show_default=True, help="Of each pair.")
@match_options
@replay_option
@json_option
def command(
    policies: tuple[str, ...], matches: int, replay: Path | None, as_json: bool, **options: Any
) -> None:
    if len(set(policies)) < 2 or len(set(policies)) < len(policies):
        raise click.UsageError(f"expected at least two policies, each once; got {' '.join(policies)}")
    how = MatchOptions(**options)
    pairs = list(combinations(range(len(policies)), 2))
    session = Session(
        game=GAMES[how.game](),
        policies=policies,
        fixtures=[
            fixture
            for number, pair in enumerate(pairs)
            for fixture in fixtures(matches, first=number * matches, pair=pair)
        ],
        seed=how.seed,
        parallel=how.parallel,
        url=how.url,
        asking=how.asking(),
        replay=replay,
    )
    results, seconds = run_matches(session)
    document = _document(results, seconds, how.seed)
    if as_json:
        print_json(document)
        return
    print_table(
        ("POLICY", "ELO", "95 %", "WON", "DRAWN", "LOST", "FALLBACKS"),
        [
            (each["policy"], f"{each['elo']:.0f}", f"{each['elo_low']:.0f} to {each['elo_high']:.0f}",
             each["won"], each["drawn"], each["lost"], sum(each["fallbacks"].values()))
            for each in sorted(document["policies"], key=lambda each: -each["elo"])
        ],
    )  # fmt: skip
    click.echo()
    print_table(
        ("PAIR", "WON", "DRAWN", "LOST", "WINS", "95 %"),
        [
            (f"{each['first']} v {each['second']}", each["won"], each["drawn"], each["lost"],
             f"{each['wins']:.1%}", f"{each['wins_low']:.1%} to {each['wins_high']:.1%}")
            for each in document["pairs"]
        ],
    )  # fmt: skip


def _document(results: Results, seconds: float, seed: int) -> dict[str, Any]:
    met = scores(results.entries)
    ratings = rate(met, len(results.policies), seed)
    return {
        "matches": len(results.entries),
        "ticks": results.ticks,
        "seconds": round(seconds, 3),
        "policies": [
            policy_document(results, place)
            | {
                "elo": round(rating.elo, 1),
                "elo_low": round(rating.low, 1),
                "elo_high": round(rating.high, 1),
            }
            for place, rating in enumerate(ratings)
        ],
        "pairs": [score_row(results.policies, score) for score in met],
    }
