"""A tick of a match, drawn with letters."""

from collections.abc import Mapping

from rich.text import Text

from sim_core.arrays import AnyArray
from sim_core.replays.documents import Header, MatchEntry

_COLOURS = ("bright_cyan", "bright_magenta")
_LETTERS = ("ABCDEFGH", "abcdefgh")
"""Of each team's agents."""
_BAR = 16


def draw_tick(header: Header, entry: MatchEntry, rows: Mapping[str, AnyArray]) -> Text:
    """`rows` are the replay's columns of one tick, by agent."""
    names = [header.policies[place].name for place in entry.policies]
    text = Text(f"match {entry.match}  tick {int(rows['tick'][0])} of {entry.ticks}\n\n")
    cells = [[(cell, "dim") for cell in line] for line in entry.board]
    letters = _letters(header.teams)
    alive = rows["alive"]
    for agent, team in enumerate(header.teams):
        if alive[agent]:
            cells[int(rows["y"][agent])][int(rows["x"][agent])] = (letters[agent], f"bold {_COLOURS[team]}")
    for line in cells:
        for cell, style in line:
            text.append(f" {cell}", style)
        text.append("\n")
    most = max(int(header.rules.get("health", 0)), int(header.rules.get("lives", 0)), 1)
    for team in (0, 1):
        text.append(f"\n{names[team]}\n", _COLOURS[team])
        for agent in (agent for agent, side in enumerate(header.teams) if side == team):
            health, action = int(rows["health"][agent]), int(rows["action"][agent])
            bar = "█" * -(-health * _BAR // most)
            text.append(f"  {letters[agent]} {bar:·<{_BAR}} {health:>3} ")
            done = header.actions[action] if action >= 0 else ""
            text.append(f"{done:<8}{_happened(header, int(rows['events'][agent]))}\n", "dim")
    return text


def draw_result(header: Header, entry: MatchEntry) -> str:
    """How it ended, in a line."""
    if entry.winner is None:
        return f"a draw after {entry.ticks} ticks"
    return f"{header.policies[entry.policies[entry.winner]].name} won after {entry.ticks} ticks"


def _letters(teams: list[int]) -> list[str]:
    counts = [0, 0]
    letters = []
    for team in teams:
        letters.append(_LETTERS[team][counts[team] % len(_LETTERS[team])])
        counts[team] += 1
    return letters


def _happened(header: Header, flags: int) -> str:
    names = [name.replace("_", " ") for bit, name in enumerate(header.events) if flags >> bit & 1]
    return ", ".join(name for name in names if name != "moved")
