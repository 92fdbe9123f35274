"""Results of runs as data, and the tables of the documentation made from them."""

from __future__ import annotations

import fcntl
import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "mogfn.json"
Record = dict[str, Any]
KEYS = ("task", "method", "calls", "samples", "seed")  # of records that replace each other


def stored(path: Path = RESULTS) -> list[Record]:
    """Return the records of all runs."""
    return json.loads(path.read_text()) if path.exists() else []


def add(record: Record, path: Path = RESULTS) -> None:
    """Store a record in place of an earlier one of the same run; several processes may do so at once."""
    with (path.parent / f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [old for old in stored(path) if any(old[key] != record[key] for key in KEYS)]
        rows = sorted([*others, record], key=lambda row: [str(row[key]).zfill(9) for key in KEYS])
        path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    Path(lock.name).unlink(missing_ok=True)


def show(task: str, calls: int, path: Path = RESULTS) -> None:
    """Print the table of a task at a number of oracle calls, a row for each method and kind of objects."""
    rows = [row for row in stored(path) if row["task"] == task and row["calls"] == calls and row["seed"] < 100]
    print("| method | objects | seeds | HV of the best of each | HV of all | top-10 reward | top-10 diversity", end="")
    print(" | different objects | seconds |\n|---|---|---|---|---|---|---|---|---|")
    methods = {row["method"]: [other for other in rows if other["method"] == row["method"]] for row in rows}
    for method, mine in sorted(methods.items(), key=lambda item: -_of_all(item[1])):
        for kind in ("all", "drawn"):
            found = [row[kind] for row in mine if kind in row]
            if not found:
                continue
            cells = [_mean_and_worst(found, "hypervolume"), _mean_and_worst(found, "of_all"), _mean(found, "reward", 3)]
            cells += [_mean(found, "diversity", 2), f"{round(statistics.mean(row['computed'] for row in mine)):,}"]
            seconds = f"{statistics.mean(row['seconds'] for row in mine):.0f}"
            print(f"| {method} | {kind} | {len(mine)} | {' | '.join(cells)} | {seconds} |")


def _of_all(rows: list[Record]) -> float:
    return statistics.mean(row["all"]["of_all"] for row in rows)


def _mean(found: list[Record], name: str, digits: int) -> str:
    return f"{statistics.mean(row[name] for row in found):.{digits}f}"


def _mean_and_worst(found: list[Record], name: str) -> str:
    worst = f" ({min(row[name] for row in found):.3f})" if len(found) > 1 else ""
    return _mean(found, name, 3) + worst
