"""`python -m sim_core play`."""

from pathlib import Path
from typing import Any

import click

from sim_core.cli.options import POLICY_HELP, MatchOptions, json_option, match_options, replay_option
from sim_core.cli.output import print_json, print_table
from sim_core.cli.running import run_matches
from sim_core.games import GAMES
from sim_core.matches.play import fixtures
from sim_core.matches.rating import share_interval
from sim_core.matches.results import Results
from sim_core.matches.session import Session
from sim_core.replays.histogram import quantile_ms


@click.command("play", help=f"Play matches between two policies, which swap sides. {POLICY_HELP}")
@click.argument("first")
@click.argument("second")
@click.option("--matches", type=click.IntRange(min=1), default=20, show_default=True)
@match_options
@replay_option
@json_option
def command(
    first: str, second: str, matches: int, replay: Path | None, as_json: bool, **options: Any
) -> None:
    how = MatchOptions(**options)
    session = Session(
        game=GAMES[how.game](),
        policies=(first, second),
        fixtures=fixtures(matches),
        seed=how.seed,
        parallel=how.parallel,
        url=how.url,
        asking=how.asking(),
        replay=replay,
    )
    results, seconds = run_matches(session)
    document = _document(results, seconds)
    if as_json:
        print_json(document)
        return
    print_table(
        ("POLICY", "WON", "DRAWN", "LOST", "WINS", "95 %", "DECISIONS", "FALLBACKS", "P50 MS", "P99 MS"),
        [policy_row(policy) for policy in document["policies"]],
    )
    click.echo(f"{document['ticks']} ticks in {seconds:.1f} s: {document['ticks'] / seconds:.0f} a second")


def _document(results: Results, seconds: float) -> dict[str, Any]:
    return {
        "matches": len(results.entries),
        "ticks": results.ticks,
        "seconds": round(seconds, 3),
        "policies": [policy_document(results, place) for place in range(len(results.policies))],
    }


def policy_document(results: Results, place: int) -> dict[str, Any]:
    """A policy's results as plain JSON values; latencies are null where nothing was asked of a server."""
    tally = results.tally(place)
    played = tally.won + tally.drawn + tally.lost
    low, high = share_interval(tally.won, played)
    asked = tally.latencies.most_ms > 0
    return {
        "policy": results.policies[place],
        "won": tally.won,
        "drawn": tally.drawn,
        "lost": tally.lost,
        "wins": tally.won / played if played else None,
        "wins_low": low,
        "wins_high": high,
        "decisions": tally.decisions,
        "fallbacks": {reason.value: count for reason, count in tally.fallbacks.items()},
        "p50_ms": quantile_ms(tally.latencies, 0.5) if asked else None,
        "p99_ms": quantile_ms(tally.latencies, 0.99) if asked else None,
    }


def policy_row(policy: dict[str, Any]) -> tuple[str, ...]:
    """The same for people."""

    def latency(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    reasons = ", ".join(f"{count} {reason}" for reason, count in policy["fallbacks"].items())
    return (
        policy["policy"],
        *(str(policy[key]) for key in ("won", "drawn", "lost")),
        "" if policy["wins"] is None else f"{policy['wins']:.1%}",
        f"{policy['wins_low']:.1%} to {policy['wins_high']:.1%}",
        str(policy["decisions"]),
        reasons or "0",
        latency(policy["p50_ms"]),
        latency(policy["p99_ms"]),
    )
