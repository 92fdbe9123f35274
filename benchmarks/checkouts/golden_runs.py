"""Tiny runs of every agent on every back-end by two checkouts of this library, compared byte for byte.

A refactoring that should change no number is held against the checkout before it:

    git worktree add ../before COMMIT
    python benchmarks/checkouts/golden_runs.py ../before .

Both run with this Python. ``front.csv`` and ``metrics.csv`` must be the same but for columns of time and columns that
only one of them has. Prints a line a case; exit code 1 where one differs.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TIMES = {"seconds", "steps_per_second"}
FAST = "--evaluations 3 --eval-episodes 2 --final-episodes 4 --seed 3"
CMORL = f"cmorl --num-policies 4 --num-envs 4 --rollout-steps 16 --epochs 2 --minibatches 2 {FAST}"
TWO_STAGES = f"{CMORL} --extension-updates 3 --steps 6000"
SAC = "--num-envs 8 --rollout-steps 8 --gradient-steps 2 --batch-size 32 --replay-capacity 1024"
MOGFN_AL = "mogfn-al --env ngrams-v0 --rounds 2 --round-size 4 --initial 12 --bases 4 --pool 16 --updates 10 --seed 3"
CASES = {
    "cmorl-ipo": f"{TWO_STAGES} --env deep-sea-treasure-v0 --num-seeds 2",
    "cmorl-cpo": f"{TWO_STAGES} --env minecart-v0 --env-kwargs deterministic True --extension cpo",
    "cmorl-none": f"{CMORL} --env minecart-v0 --extension none --steps 4000 --anneal --target-kl 0.02",
    "cmorl-continuous": f"{TWO_STAGES} --env mo-mountaincarcontinuous-v0",
    "cmorl-masked": f"{TWO_STAGES} --env mec-offloading-v0",
    "cmorl-host": f"{TWO_STAGES} --env deep-sea-treasure-v0 --backend host --reference-point 0 -50",
    "cmorl-host-processes": f"{TWO_STAGES} --env resource-gathering-v0 --backend host --processes 2",
    "cmorl-host-overlap": f"{TWO_STAGES} --env resource-gathering-v0 --backend host --processes 2 --overlap",
    "cmorl-mujoco": f"{TWO_STAGES} --env mo-hopper-2obj-v5 --env-kwargs max_episode_steps 60",
    "gmorl": f"gmorl {SAC} {FAST} --env minecart-v0 --steps 4000 --num-preferences 11 {{learning_starts}} 128",
    "gmorl-rows": f"gmorl {SAC} {FAST} --env mec-offloading-v0 --steps 4000 --num-preferences 11 --n-step 3 "
    "--learn-temperature {learning_starts} 128",
    "gmorl-host": f"gmorl {SAC} {FAST} --env deep-sea-treasure-v0 --backend host --steps 2000 --num-preferences 11 "
    "--scalarisation tchebycheff {learning_starts} 128",
    "dsac": f"dsac {SAC} {FAST} --env fruit-tree-v0 --steps 4000 --num-policies 2 --num-seeds 2 "
    "{learning_starts} 128",
    "mogfn": f"mogfn {FAST} --env hypergrid-v0 --batch 16 --steps 480 --num-preferences 6 --num-seeds 2 --beta 2 8",
    "mogfn-transformer": f"mogfn {FAST} --env ngrams-v0 --batch 16 --steps 160 --num-preferences 6 "
    "--network transformer --width 16 --num-blocks 1 --num-heads 2 --replay-batch 4 --ema 0.9",
    "mogfn-flows": f"mogfn {FAST} --env hypergrid-v0 --batch 16 --steps 320 --num-preferences 6 "
    "--loss subtrajectory_balance --scalarisation tchebycheff --bins 8",
    "mogfn-al": f"{MOGFN_AL} --num-seeds 2",
    "mogfn-al-genetic": f"{MOGFN_AL} --proposer genetic",
}


def run(checkout: Path, arguments: str, out: Path) -> None:
    """Train with the library of a checkout."""
    known = (checkout / "morl" / "training.py").exists()  # an old checkout, with earlier names of settings
    flags = arguments.format(learning_starts="--warm-up" if known else "--learning-starts").split()
    done = subprocess.run(
        [sys.executable, "-m", "morl", "train", *flags, "--out", str(out)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: morl train {' '.join(flags)} ended with {done.returncode}:\n{done.stderr}")


def table(path: Path) -> dict[str, list[str]]:
    """Return the columns of a CSV file by name, without those of time; rows sorted by seed, then by step or id."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    order = [header.index(name) for name in ("seed", "step", "id") if name in header]
    rows.sort(key=lambda row: [int(float(row[i])) for i in order])
    return {name: [row[i] for row in rows] for i, name in enumerate(header) if name not in TIMES}


def difference(first: Path, second: Path) -> str:
    """Return the names of the columns in which two run directories differ."""
    found = []
    for name in ("front.csv", "metrics.csv"):
        one, two = table(first / name), table(second / name)
        shared = [column for column in one if column in two]
        if not shared:
            found.append(f"{name}: no column in common")
        found += [f"{name}: {column}" for column in shared if one[column] != two[column]]
    return ", ".join(found)


def main() -> int:
    """Run every case by both checkouts, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout, or a folder that --keep has left")
    parser.add_argument("after", type=Path, nargs="?", help="checkout")
    parser.add_argument("--only", nargs="*", choices=list(CASES), help="cases; by default all")
    parser.add_argument("--keep", type=Path, help="folder to leave the runs of the first checkout in, for another time")
    options = parser.parse_args()
    worse = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or CASES:
            before, after = (options.keep or Path(folder) / "before") / name, Path(folder) / "after" / name
            if (options.before / "morl").is_dir():
                run(options.before.resolve(), CASES[name], before)
            else:
                before = options.before / name
            if options.after is None:
                continue
            run(options.after.resolve(), CASES[name], after)
            found = difference(before, after)
            print(f"{name}: {found or 'the same'}", flush=True)
            worse += bool(found)
    return int(worse > 0)


if __name__ == "__main__":
    raise SystemExit(main())
