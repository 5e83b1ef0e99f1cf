"""A fleet on paper: up to 1,000 replicas behind balancers, under failures and an autoscaler, in virtual time.

    python -m benchmarks.fleet [--short] [--only NAME ...] [--json FILE] [--plot DIRECTORY]
    python -m benchmarks.fleet --measure | --page

Replicas of one core batch while busy, with the server's own caps; run times are those of real servers
(`--measure` takes them again, about a minute); callers try again by the client library's own rule; the
autoscaler is that of deploy/kubernetes under Kubernetes' documented rules. Exits 1 when

- a latency of three replicas differs from that of three of the server's own schedulers
- the mean wait of one replica without batches is not that of the M/D/1 queue
- the replicas that are said to be enough without a zone are not

docs/scale.md quotes benchmarks/fleet_sim/results.json, which `--json` without a name writes; `--page` puts
its tables into the page.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.fleet_sim import failures, growth, pinned, results, sizing, spread
from benchmarks.fleet_sim.figures import draw
from benchmarks.fleet_sim.measure import Measured, measure, read, write
from benchmarks.fleet_sim.results import Table
from benchmarks.fleet_sim.scaled import manifest
from benchmarks.table import show

Question = Callable[[], Table]


def questions(measured: Measured, *, short: bool) -> Mapping[str, Question]:
    """By the name of what answers them."""
    services, start_s, hpa = measured.services, measured.start_s, manifest()
    image, text = services["image"], services["text"]
    budget_s = sizing.LOADS["text"].budget_s
    length = spread.SHORT if short else spread.FULL
    return {
        "agreement": lambda: spread.agreement(services, length),
        "theory": lambda: spread.theory(length),
        "services": lambda: spread.shown(services, start_s),
        "levels": lambda: spread.levels(services, length),
        "balancing": lambda: spread.balancing(image, length),
        "cost": lambda: spread.cost(image, 5.0, length),
        "slow": lambda: failures.slow(image, 0.010, length),
        "death": lambda: failures.death(image, start_s, short=short),
        "zone": lambda: failures.zone(text, start_s, budget_s, short=short),
        "pinned": lambda: pinned.imbalance(text, budget_s, short=short),
        "outgrown": lambda: pinned.outgrown(text, budget_s, short=short),
        "targets": lambda: growth.targets(text, hpa, start_s, budget_s, short=short),
        "policies": lambda: growth.policies(hpa, start_s),
        "loads": lambda: sizing.loads(services, short=short),
        "day": lambda: sizing.day(image, hpa, start_s, short=short),
        "bursts": lambda: sizing.bursts(text, hpa, start_s),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer requests, up to 100 replicas")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these tables alone")
    parser.add_argument("--json", nargs="?", type=Path, const=results.RESULTS, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="DIRECTORY", help="draw what is a curve")
    parser.add_argument("--measure", action="store_true", help="take run times again, and do nothing else")
    parser.add_argument("--page", action="store_true", help="fill docs/scale.md, and do nothing else")
    options = parser.parse_args()
    if options.measure:
        write(measure())
        return 0
    if options.page:
        text = results.filled(results.PAGE.read_text(encoding="utf-8"), results.read())
        results.PAGE.write_text(text, encoding="utf-8")
        return 0
    asked = questions(read(), short=options.short)
    unknown = set(options.only or ()) - set(asked)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(asked)}")
    tables = []
    for name in options.only or asked:
        table = asked[name]()
        tables.append(table)
        show(table.title, table.columns, table.rows)
        if options.plot:
            draw(table, options.plot)
    if options.json:
        results.write(tables, options.json)
    misses = [miss for table in tables for miss in table.misses]
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
