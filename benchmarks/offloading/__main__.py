"""What learning adds to the myopic rule of the task-offloading simulator, and how much there is to add.

    python benchmarks/offloading lookahead                 # greedy-ω beside one-step look-ahead, E = 6
    python benchmarks/offloading train --seeds 0 1 2        # d3po with the preset offloading, seed 0
    python benchmarks/offloading columns                   # its front beside both greedy-ω, a column for each system
    python benchmarks/offloading table                     # both tables from the stored results

Results go to ``benchmarks/results/offloading_lookahead.json`` and ``offloading_columns.json``. All fronts of a column
are of the same episodes; its reference point is the worst delay and the worst energy of its fronts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["lookahead", "train", "columns", "table"])
    parser.add_argument("--only", default="", help="columns whose name has it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the trainings")
    parser.add_argument("--steps", type=int, default=2_048_000, help="of each training")
    parser.add_argument("--episodes", type=int, default=500, help="of each policy")
    parser.add_argument("--preferences", type=int, default=51)
    parser.add_argument("--futures", type=int, nargs="+", default=[0, 16], help="of the look-ahead; 0: the true one")
    parser.add_argument("--out", type=Path, default=Path("runs/offloading"), help="directory of the trainings")
    a = parser.parse_args()
    if a.what == "lookahead":
        import lookahead

        lookahead.measure(a.futures, a.episodes)
    elif a.what == "table":
        import columns
        import lookahead

        print(lookahead.table())
        print(columns.table())
    else:
        import columns

        if a.what == "train":
            columns.train(a.out, a.seeds, a.steps)
        else:
            columns.measure(a.out, a.seeds, a.steps, a.only, a.episodes, a.preferences)


if __name__ == "__main__":
    main()
