"""Steps a second of C-MORL on MuJoCo's hopper with and without ``--overlap``, in turns: collecting and learning.

    python benchmarks/host/overlap.py               # a worker process for each core
    python benchmarks/host/overlap.py --processes 4

Whole commands in fresh processes; rates are medians over the pieces of a training between two evaluations but for the
first, in which programs are compiled.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from cmorl import CASES, one_run


def main() -> None:
    """Print a row of a table for each turn, and the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of each half with --overlap")
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    given = f"--steps {arguments.steps} --processes {arguments.processes} --eval-episodes 1 --evaluations 12"
    flags = f"{CASES['mo-hopper-2obj']} {given}".split()  # later flags override earlier ones
    print("| turn | steps/s | with --overlap | ratio |\n|---|---|---|---|")
    ratios = []
    for turn in range(arguments.turns):
        one, two = (rate(*flags, "--seed", str(turn), *extra) for extra in ([], ["--overlap"]))
        ratios.append(two / one)
        print(f"| {turn} | {one:,.0f} | {two:,.0f} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


def rate(*flags: str) -> float:
    """Return steps/s, the median over the pieces of a training between two evaluations but for the first."""
    return statistics.median(row["steps_per_second"] for row in one_run("--env", *flags).history[1:])


if __name__ == "__main__":
    main()
