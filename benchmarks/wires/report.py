"""What was measured, as tables and as JSON."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import LOAD_CORE, SERVER_CORE
from benchmarks.load import notes
from benchmarks.table import show
from benchmarks.wires.cells import CONSTANT, PLAIN, WIRES, Cell, Figures, best_plain
from benchmarks.wires.reach import Goal, goals, misses, relations


def report(
    figures: Figures, servers: Sequence[str], rounds: int, *, baselines: bool, file: Path | None
) -> int:
    """Print, write, and judge; the exit code."""
    title = f"medians of {rounds} interleaved rounds, server core {SERVER_CORE}, load core {LOAD_CORE}"
    columns = [
        "model, wire, in flight", "req/s", "p50 us", "p99 us", "CPU us", "batch",
        "% of plain", "x usual echo", "x lean echo", "% of constant",
    ]  # fmt: skip
    for server in servers:
        show(f"{server}: {title}", columns, [*_ours(figures, server)])
    print("% of plain: rows/s of plain ONNX Runtime at its best batch size, on the server's core")
    print("x: requests per CPU second, of a bare echo: aiohttp and asyncio.Protocol; grpc.aio and HTTP/2")
    print("% of constant: requests per CPU second, of the same server with the model replaced by a constant")
    if baselines:
        show("baselines", ["target", *columns[:6]], [*_others(figures, servers)])
    for server in servers:
        _show_goals(f"{server}: to reach", [*goals(figures, server)])
    _show_goals("baselines: must hold", [*relations(figures)])
    for note in notes():
        print("note:", note)
    missed = misses(figures)
    for miss in missed:
        print("MISS:", miss)
    if file is not None:
        file.write_text(json.dumps(_document(figures, servers, rounds, missed), indent=1) + "\n")
    return 1 if missed else 0


def _ours(figures: Figures, server: str) -> Iterator[list[str]]:
    for cell, ours in figures.items():
        if cell.target != server or cell.model == CONSTANT:
            continue
        plain = best_plain(figures, cell.model)
        beside = [Cell(echo, cell.model, cell.wire, cell.in_flight) for echo in WIRES[cell.wire]]
        constant = figures.get(Cell(server, CONSTANT, cell.wire, cell.in_flight))
        yield [
            *_measured(cell, figures),
            f"{100 * ours.per_s / plain.per_s:.1f}" if plain else "",
            *(f"{figures[one].cpu_us / ours.cpu_us:.2f}" if one in figures else "" for one in beside),
            f"{100 * constant.cpu_us / ours.cpu_us:.0f}" if constant and cell.model == "mlp" else "",
        ]


def _others(figures: Figures, servers: Collection[str]) -> Iterator[list[str]]:
    for cell in figures:
        if cell.target not in servers or cell.model == CONSTANT:
            yield [cell.target, *_measured(cell, figures)]


def _measured(cell: Cell, figures: Figures) -> list[str]:
    each = figures[cell]
    return [
        ", ".join(filter(None, (cell.model, cell.wire, str(cell.in_flight)))),
        f"{each.per_s:.0f}",
        f"{each.p50_us:.0f}",
        f"{each.p99_us:.0f}",
        f"{each.cpu_us:.1f}",
        f"{each.batch:.1f}" if each.batch else "",
    ]


def _show_goals(title: str, found: Sequence[Goal]) -> None:
    show(
        title,
        ["what", "measured", "bound", "verdict"],
        [
            [
                goal.what, f"{goal.measured:.2f}", f"{'>=' if goal.at_least else '<='} {goal.bound:.2f}",
                "reached" if goal.reached else "missed",
            ]
            for goal in found
        ],
    )  # fmt: skip


def _document(
    figures: Figures, servers: Sequence[str], rounds: int, missed: Sequence[str]
) -> dict[str, object]:
    reached = [
        {"server": server, **asdict(goal), "reached": goal.reached}
        for server in servers
        for goal in goals(figures, server)
    ]
    cells = [{**asdict(cell), **asdict(each)} for cell, each in figures.items()]
    return {"rounds": rounds, "plain": PLAIN, "cells": cells, "to_reach": reached, "misses": missed}
