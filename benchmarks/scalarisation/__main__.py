"""Ways to turn a reward vector into a policy: what they cost, and what they reach beside linear weights.

    python benchmarks/scalarisation cost                    # every aggregator beside linear, in turns
    python benchmarks/scalarisation cost upgrad cagrad      # these
    python benchmarks/scalarisation show                    # what is stored

Results are written to ``benchmarks/results/scalarisation.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any, get_args

import cost

RESULTS = Path(__file__).parents[1] / "results" / "scalarisation.json"


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def store(kind: str, rows: dict[str, Any], command: str) -> None:
    """Write rows under their kind, with command, date and machine; other rows stay."""
    about = {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
    }
    everything = stored()
    everything[kind] = {**everything.get(kind, {}), **{name: {**row, **about} for name, row in rows.items()}}
    RESULTS.write_text(json.dumps(everything, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("cost", "show"))
    parser.add_argument("names", nargs="*", help="aggregators; by default all")
    args = parser.parse_args()
    if args.what == "show":
        for name, row in stored().get("cost", {}).items():
            print(f"{name}: {row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) of linear, {row['date']}")
        return
    from morl.agents.ppo.config import Aggregator

    names = args.names or [name for name in get_args(Aggregator) if name != "linear"]
    store("cost", cost.measure(names), "python benchmarks/scalarisation cost")


if __name__ == "__main__":
    main()
