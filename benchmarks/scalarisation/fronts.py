"""Fronts of PPO with each aggregator, weight schedule and Pareto selection beside linear weights, at equal steps."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CASES = {
    "deep-sea-treasure-concave": "--gamma 1 --reference-point 0 -25 --final-episodes 1 --steps 300000",
    "fruit-tree": "--final-episodes 1 --steps 300000",
    "resource-gathering": "--final-episodes 512 --num-envs 32 --rollout-steps 32 --steps 1000000",
    "minecart": "--gamma 0.98 --reference-point -1 -1 -200 --final-episodes 128 --steps 500000",
    "building-3d": "--final-episodes 10 --steps 300000",
    "mo-hopper-2obj": "--reference-point -100 -100 --final-episodes 10 --steps 300000",
}
SCHEDULES = {
    "hypervolume": ["--weight-schedule", "hypervolume"],
    "hypervolume-gain-10": ["--weight-schedule", "hypervolume", "--hypervolume-gain", "10"],
    "gradient": ["--weight-schedule", "gradient"],
    "gradient-published": ["--preset", "dynamic-weights"],
    "gradient-published-slow": ["--preset", "dynamic-weights-slow"],
    "pareto-hard": ["--pareto-selection", "hard"],
    "pareto-soft": ["--pareto-selection", "soft"],
}
"""Flags of the weight schedules and Pareto selections, by name; all other names are aggregators."""
VERSIONS = {"mo-hopper-2obj": "v5"}


def command(case: str, name: str, steps: int | None = None) -> list[str]:
    """Return the arguments of ``morl`` that train a case."""
    env = f"{case}-{VERSIONS.get(case, 'v0')}"
    more = [] if steps is None else ["--steps", str(steps)]
    flags = CASES[case].split()
    if more:
        flags = flags[: flags.index("--steps")]
    return ["train", "ppo", "--env", env, *flags, *more, *SCHEDULES.get(name, ["--aggregator", name])]


def measure(case: str, name: str, seeds: range, steps: int | None = None) -> dict[str, Any]:
    """Train all seeds side by side in a process of its own; return a row with the front of each."""
    import morl
    from morl.ops.metrics import expected_utility
    from morl.ops.preferences import equally_spaced_weights

    if case not in CASES:
        raise SystemExit(f"unknown case {case!r}; known: {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        words = [*command(case, name, steps), "--seed", str(seeds.start), "--num-seeds", str(len(seeds))]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "morl", *words, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        fronts = morl.load(out).fronts
    runs = [
        {
            "seed": seed,
            "hypervolume": front.hypervolume(),
            "expected_utility": expected_utility(front.returns, equally_spaced_weights(len(front.objectives), 100)),
            "policies": len(front),
        }
        for seed, front in fronts.items()
    ]
    for run in runs:
        print(f"{case}, {name}: {run}", flush=True)
    return {
        "case": case,
        "name": name,
        "command": f"morl {' '.join(words)}",
        "seconds": round(seconds, 1),
        "runs": runs,
    }
