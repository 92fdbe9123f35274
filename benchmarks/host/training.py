"""Steps a second of C-MORL on a MuJoCo environment from end to end, beside morl-baselines' PGMORL, in turns.

    python benchmarks/host/training.py --peer-python PY   # PY has morl-baselines (benchmarks/peers/README.md)

morl's time is that of the whole command: start of Python, compilation, evaluations, pictures and the re-evaluated front
included. PGMORL's begins with its first step and ends with its last. morl uses all cores, by one worker process each;
PGMORL runs with one thread of PyTorch and with one for each core, and the better one counts. Both have six policies in
the first stage and C-MORL's published 500 steps an episode.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from cmorl import CASES, one_run
from cmorl_peers import HERE as BENCHMARKS
from cmorl_peers import run_peer

CASE = "mo-hopper-2obj"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="interpreter that has morl-baselines")
    parser.add_argument("--steps", type=int, default=1_000_000, help="environment steps of morl")
    parser.add_argument("--peer-steps", type=int, default=300_000, help="of PGMORL")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    # later flags override earlier ones
    flags = f"{CASES[CASE]} --steps {arguments.steps} --evaluations 10 --processes {cores}".split()
    threads = sorted({1, cores})
    print(
        f"| turn | morl, steps/s | {' | '.join(f'PGMORL, {n} thread(s)' for n in threads)} | ratio to the better "
        f"| morl's hypervolume | PGMORL's |\n|{'---|' * (len(threads) + 5)}"
    )
    ratios = []
    for turn in range(arguments.turns):
        ours = one_run("--env", *flags, "--seed", str(turn))
        theirs = [pgmorl(arguments.peer_python, flags[0], arguments.peer_steps, n, turn) for n in threads]
        rates = [peer["steps_per_second"] for peer in theirs]
        rate = ours.history[-1]["step"] / ours.seconds
        ratios.append(rate / max(rates))
        print(
            f"| {turn} | {rate:,.0f} | {' | '.join(f'{x:,.0f}' for x in rates)} | {ratios[-1]:.2f} "
            f"| {ours.hypervolume:.4g} | {max(peer['hypervolume_greedy'] for peer in theirs):.4g} |",
            flush=True,
        )
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


def pgmorl(python: str, env: str, steps: int, threads: int, seed: int) -> dict[str, Any]:
    """Train PGMORL; return its results, such as steps per second and hypervolume, or exit where it fails."""
    command = [str(BENCHMARKS / "peers" / "run_pgmorl.py"), "--env", env, "--steps", str(steps)]
    result = run_peer(python, [*command, "--threads", str(threads), "--episodes", "3", "--seed", str(seed)])
    if isinstance(result, str):
        sys.exit(f"PGMORL fails: {result}")
    return result


if __name__ == "__main__":
    main()
