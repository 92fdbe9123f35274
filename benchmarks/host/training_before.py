"""Time of C-MORL on MuJoCo's hopper by two checkouts of this library, in turns: whole commands, and training in them.

    git worktree add ../before COMMIT
    python benchmarks/host/training_before.py ../before
    python benchmarks/host/training_before.py --show        # the table of the kept results

The settings are those of the published front, with fewer steps and evaluations: the other checkout as it comes and with
a worker process for each core, then this one as it comes. A whole command has start, compilation, the re-evaluated
front and pictures. Training is what lies between its first and its last evaluation, evaluations included: what a longer
run has more of. All fronts must be the same, byte for byte. A round in which others took more of the machine than
``turns.py`` allows is kept in the file but does not count.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "checkouts"))
from before_after import commit, machine
from cmorl import CASES
from turns import LEAST, turn

HERE = Path(__file__).parent
OURS = HERE.parents[1]
CASE = "mo-hopper-2obj, a quarter of the steps"


def train(checkout: Path, flags: str) -> dict[str, Any]:
    """Train once; return the times of the turn, seconds of a thousand steps of training, and the front as text."""
    with tempfile.TemporaryDirectory() as folder, turn() as times:
        command = [sys.executable, "-m", "morl", "train", "cmorl", "--out", f"{folder}/run", "--env", *flags.split()]
        hidden = ("JAX_COMPILATION_CACHE_DIR", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment["PYTHONPATH"] = str(checkout)
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{checkout}: {' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        rows = list(csv.DictReader(Path(f"{folder}/run/metrics.csv").read_text().splitlines()))
        front = Path(f"{folder}/run/front.csv").read_text()
    first, last = ({name: float(row[name]) for name in ("seconds", "step")} for row in (rows[0], rows[-1]))
    rate = (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])
    return {**asdict(times), "rate": rate, "front": front}


def table(result: dict[str, Any]) -> str:
    """Return medians over the rounds that count in Markdown, and ratios to the other checkout as it comes."""
    rounds = [taken for taken in result["rounds"] if max(one["others"] for one in taken.values()) <= LEAST]
    lines = [
        f"{result['steps']:,} steps, {len(rounds)} of {len(result['rounds'])} rounds count",
        "",
        "| | whole command, s | CPU, s | beside before | training, steps/s | beside before |",
        "|---|---|---|---|---|---|",
    ]
    for name in rounds[0] if rounds else ():
        wall, cpu, rate = (
            statistics.median(taken[name][key] for taken in rounds) for key in ("seconds", "cpu", "rate")
        )
        faster = statistics.median(taken["before"]["seconds"] / taken[name]["seconds"] for taken in rounds)
        trained = statistics.median(taken[name]["rate"] / taken["before"]["rate"] for taken in rounds)
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {faster:.2f} | {rate:,.0f} | {trained:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="another checkout")
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-processes", action="store_true", help="leave out its turn with worker processes")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "host_training.json")
    parser.add_argument("--show", action="store_true", help="print the table of the kept results, and measure nothing")
    options = parser.parse_args()
    if options.show:
        print(table(json.loads(options.out.read_text())))
        return
    if options.before is None:
        parser.error("give a checkout, or --show")
    before = options.before.resolve()
    given = f"{CASES[CASE]} --steps {options.steps} --evaluations {options.evaluations} --seed 0"  # later flags count
    contenders = {
        "before": (before, f"{given} --processes 0"),
        "before, processes": (before, f"{given} --processes {len(os.sched_getaffinity(0))}"),
        "threads": (OURS, f"{given} --processes 0"),
    }
    if options.without_processes:
        del contenders["before, processes"]
    rounds: list[dict[str, Any]] = []
    for i in range(options.rounds):
        names = list(contenders)[:: 1 if i % 2 == 0 else -1]
        taken = {name: train(*contenders[name]) for name in names}
        if len(fronts := {each.pop("front") for each in taken.values()}) > 1:
            raise SystemExit("the fronts differ:\n" + "\n".join(fronts))
        rounds.append({name: taken[name] for name in contenders})
        for name, each in rounds[-1].items():
            print(f"round {i + 1}, {name}: {each}", file=sys.stderr, flush=True)
        result = {
            "command": f"python benchmarks/host/training_before.py ../before --steps {options.steps}",
            "steps": options.steps,
            "rounds": rounds,
            "machine": machine(),
            "commits": {"before": commit(before), "after": commit(OURS)},
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
