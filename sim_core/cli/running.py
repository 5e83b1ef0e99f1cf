"""Plays matches under a progress bar."""

import asyncio

import click

from sim_core.cli.output import printable, progress_bar
from sim_core.errors import SimulationError
from sim_core.matches.results import Results
from sim_core.matches.session import Session, play_session


def run_matches(session: Session) -> tuple[Results, float]:
    """The results, and the seconds that they took. When they end early, what is kept is said."""
    results = Results(session.policies)
    try:
        with progress_bar("matches", len(session.fixtures)) as advance:
            played = asyncio.run(play_session(session, results, lambda record: advance(1)))
    except (SimulationError, KeyboardInterrupt):
        if results.entries:
            kept = f"; they are kept in {session.replay}" if session.replay is not None else ""
            of = len(session.fixtures)
            click.echo(printable(f"{len(results.entries)} of {of} matches were over{kept}"), err=True)
        raise
    return results, played.seconds
