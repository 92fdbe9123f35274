"""Steps a second of C-MORL on a MuJoCo environment from end to end, beside morl-baselines' PGMORL, in turns.

    python benchmarks/host_training.py --peer-python PY   # PY has morl-baselines (benchmarks/peers/README.md)

morl's time is that of the whole command: start of Python, compilation, evaluations, pictures and the re-evaluated front
included. PGMORL's begins with its first step and ends with its last. Both may use all cores: morl by one worker process
each, PGMORL by as many threads of PyTorch. Both have six policies in the first stage and C-MORL's published 500 steps
an episode.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from cmorl import CASES, one_run
from cmorl_peers import HERE, run_peer

CASE = "mo-hopper-2obj"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="interpreter that has morl-baselines")
    parser.add_argument("--steps", type=int, default=1_000_000, help="environment steps of morl")
    parser.add_argument("--peer-steps", type=int, default=300_000, help="of PGMORL")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    flags = CASES[CASE].split()
    given = {"--steps": arguments.steps, "--evaluations": 10, "--processes": cores}
    for name, value in given.items():
        flags[flags.index(name) + 1] = str(value)
    print(
        "| turn | morl, steps/s | PGMORL, steps/s | ratio | morl's hypervolume | PGMORL's |\n|---|---|---|---|---|---|"
    )
    ratios = []
    for turn in range(arguments.turns):
        ours = one_run("--env", *flags, "--seed", str(turn))
        command = [str(HERE / "peers" / "run_pgmorl.py"), "--env", flags[0], "--steps", str(arguments.peer_steps)]
        command += ["--threads", str(cores), "--episodes", "3", "--seed", str(turn)]
        theirs = run_peer(arguments.peer_python, command)
        if isinstance(theirs, str):
            sys.exit(f"PGMORL fails: {theirs}")
        rate = ours.history[-1]["step"] / ours.seconds
        ratios.append(rate / theirs["steps_per_second"])
        print(
            f"| {turn} | {rate:,.0f} | {theirs['steps_per_second']:,.0f} | {ratios[-1]:.2f} "
            f"| {ours.hypervolume:.4g} | {theirs['hypervolume_greedy']:.4g} |",
            flush=True,
        )
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
