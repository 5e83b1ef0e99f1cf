"""The header of a replay that begins."""

from datetime import UTC, datetime
from typing import Any

from sim_core.game import Game
from sim_core.replays.documents import Header, PolicyEntry, ServerEntry


def replay_header(
    game: Game[Any], *, seed: int, matches: int, policies: list[PolicyEntry], server: ServerEntry | None
) -> Header:
    """Of a replay that begins now."""
    return Header(
        game=game.name,
        rules=dict(game.describe()),
        actions=list(game.actions),
        events=list(game.events),
        teams=game.team_of.tolist(),
        width=game.width,
        height=game.height,
        seed=seed,
        matches=matches,
        policies=policies,
        server=server,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
