"""What `front_ends` measured, as tables, as JSON, and as a verdict."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import models
from benchmarks.harness import LOAD_CORE, SERVER_CORE
from benchmarks.load import notes
from benchmarks.table import show

PROTOCOL_OVER_AIOHTTP: Final = 5.0
"""What the bare protocol does at least of the bare aiohttp, in small requests, or the baselines are wrong."""
PLAIN: Final = "plain ONNX Runtime"
OURS: Final = "onnxd"
ECHOES: Final = {
    "http json": ("aiohttp_echo", "protocol_echo"),
    "http binary": ("aiohttp_echo", "protocol_echo"),
    "grpc": ("grpc_echo",),
}
"""The bare front ends of each wire."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is measured in each round."""

    target: str
    """onnxd, a baseline, or plain ONNX Runtime."""
    model: str
    wire: str
    """"" for plain ONNX Runtime."""
    in_flight: int
    """For plain ONNX Runtime the rows of a batch."""


@dataclass(slots=True)
class Samples:
    """What the rounds gave."""

    per_cpu_s: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    latency_us: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    failed: int = 0

    def medians(self) -> dict[str, float]:
        return {
            "requests_per_cpu_s": median(self.per_cpu_s),
            "requests_per_s": median(self.per_s),
            "latency_us": median(self.latency_us),
            "mean_batch": median(self.batch) if self.batch else 0.0,
            "failed": self.failed,
        }


def report(figures: Mapping[Cell, Mapping[str, float]], rounds: int, file: Path | None) -> int:
    """Print, write, and judge; the exit code."""
    lines = []
    for cell, ours in figures.items():
        if cell.target != OURS:
            continue
        rate = ours["requests_per_cpu_s"]
        echoes = [
            f"{rate / figures[Cell(name, cell.model, cell.wire, cell.in_flight)]['requests_per_cpu_s']:.2f}"
            for name in ECHOES[cell.wire]
        ]
        plain = [
            f"{100 * rate / figures[Cell(PLAIN, cell.model, '', rows)]['requests_per_cpu_s']:.2f} %"
            for rows in (1, models.ROWS)
        ]
        lines.append(
            [
                f"{cell.model}, {cell.wire}, {cell.in_flight}",
                f"{ours['requests_per_s']:.0f}",
                f"{rate:.0f}",
                f"{1e6 / rate:.0f}",
                f"{ours['latency_us']:.0f}",
                f"{ours['mean_batch']:.1f}",
                " / ".join(echoes),
                *plain,
            ]
        )
    columns = [
        "model, wire, in flight", "req/s", "req/CPU s", "CPU us", "latency us", "batch",
        "x bare front ends", "of plain, 1 row", f"of plain, {models.ROWS} rows",
    ]  # fmt: skip
    title = f"onnxd, medians of {rounds} interleaved rounds, server core {SERVER_CORE}, load core {LOAD_CORE}"
    show(title, columns, lines)
    print("bare front ends: aiohttp / asyncio.Protocol, or grpc.aio, each on uvloop; CPU: that of the server")
    others = [
        [
            cell.target, cell.model, cell.wire, str(cell.in_flight), f"{each['requests_per_s']:.0f}",
            f"{each['requests_per_cpu_s']:.0f}", f"{1e6 / each['requests_per_cpu_s']:.2f}",
        ]
        for cell, each in figures.items()
        if cell.target != OURS
    ]  # fmt: skip
    columns = ["baseline", "model", "wire", "in flight or rows", "req/s", "req/CPU s", "CPU us"]
    show("baselines", columns, others)
    for note in notes():
        print("note:", note)
    misses = judge(figures)
    for miss in misses:
        print("MISS:", miss)
    if file is not None:
        written = [
            {
                "target": cell.target,
                "model": cell.model,
                "wire": cell.wire,
                "in_flight": cell.in_flight,
                **each,
            }
            for cell, each in figures.items()
        ]
        file.write_text(json.dumps({"rounds": rounds, "cells": written, "misses": misses}, indent=1) + "\n")
    return 1 if misses else 0


def judge(figures: Mapping[Cell, Mapping[str, float]]) -> list[str]:
    """What must hold, as sentences where it does not."""
    misses = [
        f"{each['failed']:.0f} requests failed: {cell}" for cell, each in figures.items() if each["failed"]
    ]
    most = max(cell.in_flight for cell in figures if cell.target == "protocol_echo")
    bare = {
        name: figures[Cell(name, "identity", "http json", most)]["requests_per_cpu_s"]
        for name in ("protocol_echo", "aiohttp_echo")
    }
    relation = bare["protocol_echo"] / bare["aiohttp_echo"]
    print(
        f"bare protocol echo / bare aiohttp echo, small requests: {relation:.2f} "
        f"(at least {PROTOCOL_OVER_AIOHTTP})"
    )
    if relation < PROTOCOL_OVER_AIOHTTP:
        misses.append(f"the bare protocol echo does only {relation:.2f} times the bare aiohttp echo")
    return misses
