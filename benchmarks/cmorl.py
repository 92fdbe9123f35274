"""Fronts that C-MORL finds, beside the known ones: every run in a fresh process, its front re-evaluated.

    python benchmarks/cmorl.py                    # all cases, 5 seeds each
    python benchmarks/cmorl.py minecart --seeds 3 # those whose name has it

Wall-clock is that of the whole command: start of Python, compilation, evaluations and pictures included.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

MINECART_REFERENCE = ["-1", "-1", "-200"]
TREASURE = "--steps 500000 --gamma 1 --rollout-steps 16 --minibatches 4 --evaluations 150 --entropy-coefficient 0.1"
CASES = {
    "deep-sea-treasure": f"deep-sea-treasure-v0 {TREASURE} --extension-share 0.6 --reference-point 0 -25",
    "deep-sea-treasure, concave": f"deep-sea-treasure-concave-v0 {TREASURE} --extension-share 0.6",
    "deep-sea-treasure, concave, CPO": f"deep-sea-treasure-concave-v0 {TREASURE} --extension-share 0.6 --extension cpo",
    "deep-sea-treasure, concave, first stage alone": f"deep-sea-treasure-concave-v0 {TREASURE} --extension none",
    "resource-gathering": "resource-gathering-v0 --steps 500000 --num-policies 12 --num-envs 8 --rollout-steps 32 "
    "--minibatches 4 --entropy-coefficient 0.1 --evaluations 60 --eval-episodes 256 --final-episodes 512",
    "fruit-tree, depth 6": "fruit-tree-v0 --steps 500000 --gamma 0.99 --num-policies 64 --num-envs 4 "
    "--rollout-steps 12 --minibatches 2 --learning-rate 3e-3 --evaluations 60",
    "minecart, 500 000 steps": "minecart-v0 --steps 500000",
    "minecart, 500 000 steps, CPO": "minecart-v0 --steps 500000 --extension cpo",
    "minecart, 500 000 steps, first stage alone": "minecart-v0 --steps 500000 --extension none",
    "minecart, default": "minecart-v0",
}


@dataclass
class Result:
    """One `morl train cmorl` in a process of its own; the hypervolume is that of the re-evaluated front."""

    seconds: float
    policies: int
    hypervolume: float
    history: list[dict[str, float]]

    def seconds_to(self, hypervolume: float) -> str:
        """Wall-clock until an evaluation first reached it."""
        lead = (
            self.seconds - self.history[-1]["seconds"]
        )  # imports before the loop, re-evaluation and pictures after it
        rows = [row for row in self.history if row["hypervolume"] >= hypervolume]
        return f"{rows[0]['seconds'] + lead:.0f}" if rows else "-"


def one_run(*flags: str) -> Result:
    """Train and read the run back."""
    import morl

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", "morl", "train", "cmorl", "--out", str(out), *flags]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        rows = csv.DictReader((out / "metrics.csv").read_text().splitlines())
        history = [{name: float(value) for name, value in row.items()} for row in rows]
        front = morl.load(out).front
    return Result(seconds, len(front), front.hypervolume(), history)


def minecart_hypervolume() -> float:
    """Hypervolume of MO-Gymnasium's own (approximate) front at gamma 0.98: 668.18."""
    import mo_gymnasium

    from morl.metrics import hypervolume

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its spaces' precision
        front = mo_gymnasium.make("minecart-v0").unwrapped.pareto_front(0.98)
    return hypervolume(front, [float(x) for x in MINECART_REFERENCE])


def fronts(wanted: str, seeds: int) -> None:
    """A line for each seed, then a row of a table for each case."""
    rows = []
    for name, flags in CASES.items():
        if wanted not in name:
            continue
        print(f"\n{name}: morl train cmorl --env {flags}\nseed policies HV share seconds to_0.95", flush=True)
        shares, walls, policies, reached = [], [], [], []
        for seed in range(seeds):
            result = one_run("--env", *flags.split(), "--seed", str(seed))
            last = result.history[-1]
            known = "hypervolume_share" in last
            true = last["hypervolume"] / last["hypervolume_share"] if known else minecart_hypervolume()
            shares.append(result.hypervolume / true)
            walls.append(result.seconds)
            policies.append(result.policies)
            reached.append(result.seconds_to(0.95 * true))
            numbers = f"{result.policies} {result.hypervolume:.6g} {shares[-1]:.3f} {walls[-1]:.1f} {reached[-1]}"
            print(f"{seed} {numbers}", flush=True)
        spread = f"{statistics.median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f}) of {true:.6g}"
        wall = f"{statistics.median(walls):.0f} s ({max(walls):.0f} s)"
        rows.append(f"| {name} | {spread} | {min(policies)} to {max(policies)} | {wall} | {', '.join(reached)} |")
    print("\n| case | hypervolume, share of the known front's | policies | wall-clock, median (worst) | s to 0.95 |")
    print("|---|---|---|---|---|", *rows, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="", help="part of a case's name")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    fronts(args.case, args.seeds)


if __name__ == "__main__":
    main()
