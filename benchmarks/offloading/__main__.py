"""Gain of foresight over the myopic rule of the task-offloading simulator, and a look-ahead with what there is to gain.

    python benchmarks/offloading lookahead --episodes 32   # greedy-ω beside one-step look-ahead, E = 6
    python benchmarks/offloading prices --seeds 0 1 2      # the prices of schemes.Foresight, on the train ranges
    python benchmarks/offloading columns                   # its fronts beside both greedy-ω, a row for each system
    python benchmarks/offloading table                     # both tables from the stored results

Results go to ``benchmarks/results/offloading_lookahead.json`` and ``offloading_columns.json``. All fronts of a system
are of the same episodes; its reference point is the worst delay and the worst energy of its fronts.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["lookahead", "prices", "columns", "table"])
    parser.add_argument("--only", default="", help="systems whose name begins with it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the searches")
    parser.add_argument("--episodes", type=int, default=256, help="of each policy")
    parser.add_argument("--preferences", type=int, default=21)
    parser.add_argument("--futures", type=int, nargs="+", default=[0], help="of the look-ahead; 0: the true one")
    a = parser.parse_args()
    from morl.training.backends import compile_cache

    compile_cache.turn_on(os.environ)  # before JAX is imported
    import columns
    import lookahead

    if a.what == "lookahead":
        lookahead.measure(a.futures, a.episodes)
    elif a.what == "prices":
        columns.find_prices(a.seeds)
    elif a.what == "columns":
        columns.measure(a.only, a.episodes, a.preferences)
    else:
        print(lookahead.table())
        print()
        print(columns.table())


if __name__ == "__main__":
    main()
