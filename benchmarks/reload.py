"""Reloads under traffic: failed requests, mixed answers, and what the server holds of memory and the like.

    python -m benchmarks.reload [--short] [--only NAME]... [--reloads N] [--minutes M]

rename   a model is published again and again by rename, each time as soon as the one before was seen serving,
         at half of the load that the server can take, with two more models live.
leak     the same on a server that keeps every session: the check of memory must notice.
swap     Kubernetes' `..data` swaps of one model, slow writes in place of another: a graph and its labels must
         always be of one set.
storm    32 threads load and unload a model through both protocols while it changes on disk.
root     the repository is renamed away, replaced by an empty one, and emptied.

Exits 1 when a request failed or an answer came from no version that was there or from two, when descriptors
or threads grew, when memory after the last reload is over 102 % of that after reload 100, or when the leak
was not noticed. Each part ends after M minutes, which is a miss if it has not done what it was to do.
"""

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import reload_rename, reload_root, reload_storm, reload_swap
from benchmarks.table import show


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    reloads: int
    memory_from: int
    requests: int
    leaks: int
    swaps: int
    threads: int
    rounds: int
    pause_s: float
    deadline_s: float


LONG: Final = Size(1000, 100, 100_000, 200, 500, 32, 500, 5.0, 1800.0)
SHORT: Final = Size(60, 60, 0, 60, 20, 8, 10, 1.0, 120.0)


def rename(size: Size) -> list[str]:
    plan = reload_rename.Plan(size.reloads, size.memory_from, size.requests, deadline_s=size.deadline_s)
    found = asyncio.run(reload_rename.reload_by_rename(plan, _progress("reload")))
    _show(found)
    return reload_rename.judge(found)


def leak(size: Size) -> list[str]:
    half = size.leaks // 2
    plan = reload_rename.Plan(size.leaks, half, deadline_s=size.deadline_s, leaky=True)
    found = asyncio.run(reload_rename.reload_by_rename(plan))
    _show(found)
    misses = reload_rename.judge(found)
    noticed = [miss for miss in misses if miss.startswith("memory grew")]
    print(f"noticed: {noticed[0]}" if noticed else "not noticed")
    # Each session that is kept keeps its threads.
    others = [miss for miss in misses if not miss.startswith(("memory grew", "threads grew"))]
    return others + ([] if noticed else ["a leak was not noticed"])


def swap(size: Size) -> list[str]:
    found = asyncio.run(reload_swap.swap_and_write(size.swaps, size.deadline_s, _progress("swap")))
    print(
        f"{found.swaps} swaps and {found.writes} slow writes in {found.seconds:.0f} s, "
        f"{found.answered} requests, {sum(found.failures.values())} failed or mixed, {found.loads} loads"
    )
    return reload_swap.judge(found)


def storm(size: Size) -> list[str]:
    found = reload_storm.storm(size.threads, size.rounds, size.deadline_s)
    show("calls", ["answer", "count"], [[call, str(count)] for call, count in sorted(found.calls.items())])
    print(
        f"{size.threads} threads in {found.seconds:.0f} s, {found.published} publications meanwhile; "
        f"live {found.live}, ready {found.ready}"
    )
    return reload_storm.judge(found)


def root(size: Size) -> list[str]:
    found = asyncio.run(reload_root.lose_the_root(size.pause_s))
    rows = [[what, str(count)] for what, count in found.answered.items()]
    show("answered while the repository was", ["", "requests"], rows)
    print(f"{sum(found.failures.values())} failed")
    return reload_root.judge(found)


PARTS: Final[dict[str, Callable[[Size], list[str]]]] = {
    "rename": rename,
    "leak": leak,
    "swap": swap,
    "storm": storm,
    "root": root,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="less of everything; memory for the leak only")
    parser.add_argument("--only", action="append", choices=list(PARTS))
    parser.add_argument("--reloads", type=int)
    parser.add_argument("--minutes", type=float, help="for each part; 30 unless told")
    options = parser.parse_args()
    size = SHORT if options.short else LONG
    changes: dict[str, Any] = {}
    if options.reloads:
        changes |= {"reloads": options.reloads, "requests": 0}
    if options.minutes:
        changes["deadline_s"] = options.minutes * 60
    missed = False
    for name in options.only or PARTS:
        print(f"\n{name}")
        for miss in PARTS[name](dataclasses.replace(size, **changes)):
            print("MISS:", miss)
            missed = True
    return 1 if missed else 0


def _show(found: reload_rename.Reloads) -> None:
    looks = {str(number): each for number, each in found.looks.items()}
    if found.at_rest is not None:
        looks["the last, at rest"] = found.at_rest
    rows = [
        [name, f"{each.resident_bytes / 2**20:.1f}", str(each.descriptors), str(each.threads)]
        for name, each in looks.items()
    ]
    show("the server", ["after reload", "resident MiB", "descriptors", "threads"], rows)
    print(
        f"{found.done} reloads in {found.seconds:.0f} s, {found.answered} requests "
        f"at {found.rate:.0f} a second, {sum(found.failures.values())} failed"
    )
    if (ratio := found.memory_ratio) is not None:
        print(f"memory after reload {found.done}: {100 * ratio:.1f} % of that after {found.plan.memory_from}")


def _progress(what: str) -> Callable[[int], None]:
    def say(number: int) -> None:
        if number % 50 == 0:
            print(f"{what} {number}", flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
