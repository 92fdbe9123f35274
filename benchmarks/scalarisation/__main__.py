"""Ways to turn a reward vector into a policy: what they cost, and what they reach beside linear weights.

    python benchmarks/scalarisation cost                    # every aggregator beside linear, in turns
    python benchmarks/scalarisation cost upgrad cagrad      # these
    python benchmarks/scalarisation fronts --cases minecart --seeds 5 upgrad     # fronts beside linear weights
    python benchmarks/scalarisation prefer                  # preference elicitation with simulated users
    python benchmarks/scalarisation show                    # what is stored

Results are written to ``benchmarks/results/scalarisation.json``, those of ``prefer`` to ``prefer.json`` beside it.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any, get_args

import cost
import fronts
import prefer

RESULTS = Path(__file__).parents[1] / "results"


def path_of(kind: str) -> Path:
    return RESULTS / ("prefer.json" if kind == "prefer" else "scalarisation.json")


def stored(kind: str) -> dict[str, Any]:
    path = path_of(kind)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def store(kind: str, rows: dict[str, Any]) -> None:
    """Write rows under their kind, with date and machine; other rows stay."""
    about = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
    }
    everything = stored(kind)
    everything[kind] = {**everything.get(kind, {}), **{name: {**row, **about} for name, row in rows.items()}}
    path_of(kind).write_text(json.dumps(everything, indent=1) + "\n")


def show() -> None:
    """Print what is stored."""
    for name, row in stored("cost").get("cost", {}).items():
        print(f"{name}: {row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) of linear, {row['date']}")
    for name, row in stored("fronts").get("fronts", {}).items():
        for number in ("hypervolume", "expected_utility"):
            values = [run[number] for run in row["runs"]]
            print(f"{name}: {number} {statistics.median(values):.6g} ({min(values):.6g} to {max(values):.6g})")
    for name, row in stored("prefer").get("prefer", {}).items():
        print(f"{name}: {row['median']:g} questions, {100 * row['close_after_8']:.0f} % within 2 % after 8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("cost", "fronts", "prefer", "show"))
    parser.add_argument("names", nargs="*", help="aggregators, of prefer fronts; by default all")
    parser.add_argument("--cases", nargs="+", default=list(fronts.CASES), help="of fronts")
    parser.add_argument("--seeds", type=int, default=5, help="of fronts, from 0 on")
    parser.add_argument("--steps", type=int, help="of fronts, in place of those of the case; nothing is stored then")
    parser.add_argument("--users", type=int, default=100, help="of prefer; with another number nothing is stored")
    args = parser.parse_args()
    if args.what == "show":
        show()
        return
    if args.what == "prefer":
        for front, kind, rule in itertools.product(args.names or prefer.FRONTS, prefer.KINDS, prefer.RULES):
            row = prefer.measure(front, kind, rule, args.users)
            if args.users == 100:
                store("prefer", {f"{front}, {kind}, {rule}": row})
        return
    from morl.agents.ppo.config import Aggregator

    names = args.names or [name for name in get_args(Aggregator) if name != "linear"]
    if args.what == "cost":
        store("cost", cost.measure(names))
        return
    for case in args.cases:
        for name in dict.fromkeys(["linear", *names]):
            row = fronts.measure(case, name, range(args.seeds), args.steps)
            if args.steps is None:
                store("fronts", {f"{case}, {name}": row})


if __name__ == "__main__":
    main()
