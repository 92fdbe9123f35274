"""Ways to turn a reward vector into a policy: what they cost, and what they reach beside linear weights.

    python benchmarks/scalarisation cost                    # every aggregator beside linear, in turns
    python benchmarks/scalarisation cost upgrad cagrad      # these
    python benchmarks/scalarisation fronts --cases minecart --seeds 5 upgrad     # fronts beside linear weights
    python benchmarks/scalarisation fronts --cases fruit-tree hypervolume gradient pareto-hard   # schedules
    python benchmarks/scalarisation prefer                  # preference elicitation with simulated users
    python benchmarks/scalarisation logs                    # intervals of logs that hold the true hypervolume
    python benchmarks/scalarisation fill --cases building-3d --seeds 1           # fronts filled by merged policies
    python benchmarks/scalarisation show                    # what is stored

Results are written to ``benchmarks/results``: ``scalarisation.json``, ``prefer.json``, ``from_log.json``,
``filling.json``.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any, get_args

import cost
import filling
import fronts
import logs
import prefer

RESULTS = Path(__file__).parents[1] / "results"
FILES = {"prefer": "prefer.json", "logs": "from_log.json", "fill": "filling.json"}  # of other kinds: the first one


def path_of(kind: str) -> Path:
    return RESULTS / FILES.get(kind, "scalarisation.json")


def stored(kind: str) -> dict[str, Any]:
    """Return the rows of a kind, by name."""
    found: dict[str, Any] = json.loads(path_of(kind).read_text()).get(kind, {}) if path_of(kind).exists() else {}
    return found


def store(kind: str, rows: dict[str, Any]) -> None:
    """Write rows under their kind, with date and machine; other rows stay."""
    about = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
    }
    path = path_of(kind)
    everything = json.loads(path.read_text()) if path.exists() else {}
    everything[kind] = {**everything.get(kind, {}), **{name: {**row, **about} for name, row in rows.items()}}
    path.write_text(json.dumps(everything, indent=1) + "\n")


def show() -> None:
    """Print what is stored."""
    for name, row in stored("cost").items():
        print(f"{name}: {row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) of linear, {row['date']}")
    for name, row in stored("fronts").items():
        for number in ("hypervolume", "expected_utility"):
            values = [run[number] for run in row["runs"]]
            print(f"{name}: {number} {statistics.median(values):.6g} ({min(values):.6g} to {max(values):.6g})")
    for name, row in stored("prefer").items():
        print(f"{name}: {row['median']:g} questions, {100 * row['close_after_8']:.0f} % within 2 % after 8")
    for name, row in stored("logs").items():
        for estimator, numbers in row["estimators"].items():
            print(f"{name}, {estimator}: {numbers['held']} of {row['logs'] - row['not_judged']}, {row['date']}")
    for name, row in stored("fill").items():
        for run in row["runs"]:
            print(f"{name}: {run}")


def measure_prefer(args: argparse.Namespace) -> None:
    """Measure every kind of user and rule on each front."""
    for front, kind, rule in itertools.product(args.names or prefer.FRONTS, prefer.KINDS, prefer.RULES):
        row = prefer.measure(front, kind, rule, args.users)
        if args.users == 100:
            store("prefer", {f"{front}, {kind}, {rule}": row})


def measure_logs(args: argparse.Namespace) -> None:
    """Measure the cases of logs one after another; what there is is stored now and then."""
    with tempfile.TemporaryDirectory() as scratch:
        for case in args.cases or logs.CASES:
            for row in logs.measure(case, args.runs or Path(scratch), args.logs, args.episodes, args.resamples):
                store("logs", {case: row})


def measure_fill(args: argparse.Namespace) -> None:
    """Measure the cases of filling one after another."""
    for case in args.cases or filling.CASES:
        store("fill", filling.measure(case, range(args.seeds), args.steps))


def measure_ways(args: argparse.Namespace) -> None:
    """Measure the cost of aggregators, or the fronts of aggregators, schedules and selections."""
    from morl.agents.ppo.config import Aggregator

    known = get_args(Aggregator) if args.what == "cost" else (*get_args(Aggregator), *fronts.SCHEDULES)
    if unknown := [name for name in args.names if name not in known]:
        raise SystemExit(f"unknown {unknown[0]!r}; known: {', '.join(known)}")
    names = args.names or [name for name in known if name != "linear"]
    if args.what == "cost":
        store("cost", cost.measure(names))
        return
    for case in args.cases or fronts.CASES:
        for name in dict.fromkeys(["linear", *names]):
            row = fronts.measure(case, name, range(args.seeds), args.steps)
            if args.steps is None:
                store("fronts", {f"{case}, {name}": row})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("cost", "fronts", "prefer", "logs", "fill", "show"))
    parser.add_argument("names", nargs="*", help="aggregators, schedules and selections; fronts of prefer; default all")
    parser.add_argument("--cases", nargs="+", help="of fronts, logs or fill; by default all")
    parser.add_argument("--seeds", type=int, default=5, help="of fronts and fill, from 0 on")
    parser.add_argument("--steps", type=int, help="in place of those of the case; fronts are not stored then")
    parser.add_argument("--users", type=int, default=100, help="of prefer; with another number nothing is stored")
    parser.add_argument("--logs", type=int, default=100, help="of logs: their number")
    parser.add_argument("--episodes", type=int, default=1000, help="of logs: in each")
    parser.add_argument("--resamples", type=int, default=400, help="of logs: of the bootstrap")
    parser.add_argument("--runs", type=Path, help="of logs: folder of the trained runs; by default a temporary one")
    args = parser.parse_args()
    if args.what == "show":
        show()
        return
    measures = {"prefer": measure_prefer, "logs": measure_logs, "fill": measure_fill}
    measures.get(args.what, measure_ways)(args)


if __name__ == "__main__":
    main()
