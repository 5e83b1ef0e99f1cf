"""What a server must bear for long: clients that leave, refusals, slow clients, credentials that change,
three times as much as it can do, and signals to end.

    python -m benchmarks.soak [--short] [--only NAME] [--seconds N] [--requests N] [--rotations N]

Each scenario has a server of its own, over loopback only, and ends after its count or its seconds. Prints
what it counted; exits 1 when a request failed that should not have, something was left behind, or a figure of
memory or time is over its bound.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from benchmarks.harness import scratch
from benchmarks.soak import cancels, drain, overload, refusals, rotation, slow
from benchmarks.soak.verdict import Verdict
from benchmarks.table import show

_EACH_REFUSAL: Final = 100
_ROTATION_S: Final = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a twentieth of everything")
    parser.add_argument(
        "--only", choices=("cancels", "refusals", "slow", "rotation", "overload", "drain"), action="append"
    )
    parser.add_argument("--seconds", type=float, help="the longest that a scenario takes")
    parser.add_argument("--requests", type=int, help="of the cancels")
    parser.add_argument("--rotations", type=int)
    options = parser.parse_args()
    scale = 0.05 if options.short else 1.0
    seconds: float = options.seconds or 600.0 * scale
    requests: int = options.requests or int(100_000 * scale)
    rotations: int = options.rotations or max(2, int(30 * scale))
    scenarios: dict[str, Callable[[Path], Awaitable[Verdict]]] = {
        "cancels": lambda at: cancels.run(at, requests, seconds),
        "refusals": lambda at: refusals.run(at, max(_EACH_REFUSAL, int(1000 * scale)), 2 * seconds),
        "slow": lambda at: slow.run(
            at, int(5000 * scale), int(1000 * scale), int(500 * scale), min(seconds, 30.0)
        ),
        "rotation": lambda at: rotation.run(at, rotations, min(_ROTATION_S, seconds / rotations)),
        "overload": lambda at: overload.run(at, seconds),
        "drain": lambda at: drain.run(at, max(2, int(50 * scale)), seconds),
    }
    misses = []
    for name in options.only or scenarios:
        with scratch() as directory:
            verdict = asyncio.run(_of(scenarios[name], directory))
        show(verdict.title, ["", "figure"], verdict.figures)
        misses += [f"{name}: {miss}" for miss in verdict.failures + verdict.misses]
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


async def _of(scenario: Callable[[Path], Awaitable[Verdict]], directory: Path) -> Verdict:
    return await scenario(directory)


if __name__ == "__main__":
    sys.exit(main())
