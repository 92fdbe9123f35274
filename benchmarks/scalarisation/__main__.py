"""Ways to turn a reward vector into a policy: what they cost, and what they reach beside linear weights.

    python benchmarks/scalarisation cost                    # every aggregator beside linear, in turns
    python benchmarks/scalarisation cost upgrad cagrad      # these
    python benchmarks/scalarisation fronts --cases minecart --seeds 5 upgrad     # fronts beside linear weights
    python benchmarks/scalarisation show                    # what is stored

Results are written to ``benchmarks/results/scalarisation.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any, get_args

import cost
import fronts

RESULTS = Path(__file__).parents[1] / "results" / "scalarisation.json"


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def store(kind: str, rows: dict[str, Any]) -> None:
    """Write rows under their kind, with date and machine; other rows stay."""
    about = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
    }
    everything = stored()
    everything[kind] = {**everything.get(kind, {}), **{name: {**row, **about} for name, row in rows.items()}}
    RESULTS.write_text(json.dumps(everything, indent=1) + "\n")


def show() -> None:
    """Print what is stored."""
    for name, row in stored().get("cost", {}).items():
        print(f"{name}: {row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) of linear, {row['date']}")
    for name, row in stored().get("fronts", {}).items():
        for number in ("hypervolume", "expected_utility"):
            values = [run[number] for run in row["runs"]]
            print(f"{name}: {number} {statistics.median(values):.6g} ({min(values):.6g} to {max(values):.6g})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("cost", "fronts", "show"))
    parser.add_argument("names", nargs="*", help="aggregators; by default all")
    parser.add_argument("--cases", nargs="+", default=list(fronts.CASES), help="of fronts")
    parser.add_argument("--seeds", type=int, default=5, help="of fronts, from 0 on")
    parser.add_argument("--steps", type=int, help="of fronts, in place of those of the case; nothing is stored then")
    args = parser.parse_args()
    if args.what == "show":
        show()
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
