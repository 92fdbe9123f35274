"""Fronts that C-MORL finds, beside the known or published ones: every run in a fresh process, its front re-evaluated.

    python benchmarks/cmorl.py                                   # all cases, 5 seeds each
    python benchmarks/cmorl.py minecart --seeds 3 --first-seed 1 # those whose name has it, seeds 1 to 3

Wall-clock is that of the whole command: start of Python, compilation, evaluations and pictures included.
Expected utility (EU) is over the preferences of the published runs. Hypervolumes are exact up to 100 policies. Beside
the hypervolume above the published reference point stands the one above the tight one, as a share of the known front's,
the share of the known front that is covered and the largest loss of utility; the protocol says what is known.
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
from typing import Any

MINECART_REFERENCE = ["-1", "-1", "-200"]
COVERAGE = ("hypervolume_tight", "covered_share", "largest_gap", "maximum_utility_loss")
APART = {2: 0.01, 3: 0.1}  # steps between the published preferences, by number of objectives; else 0.5
TREASURE = (
    "--steps 500000 --gamma 1 --reference-point 0 -25 --rollout-steps 16 --minibatches 4 --evaluations 150 "
    "--entropy-coefficient 0.1"
)
CONCAVE = f"deep-sea-treasure-concave-v0 {TREASURE}"
# the budgets of the published runs, in steps of all four of their environments (see agents/cmorl/presets.py)
MUJOCO = (
    "--env-kwargs max_episode_steps 500 --num-envs 8 --rollout-steps 512 --minibatches 32 --learning-rate 3e-4 "
    "--anneal --entropy-coefficient 0 --train-gamma 0.99 --hidden 128 128 --extension-share 0.34 --evaluations 40 "
    "--eval-episodes 10 --final-episodes 10 --processes 2"
)
LANDER = (
    "mo-lunar-lander-v3 --steps 2000000 --num-policies 2 --min-weight 0.24 --preference-units raw "
    "--num-envs 8 --rollout-steps 256 --minibatches 16 --learning-rate 7e-4 --anneal --entropy-coefficient 0.003 "
    "--hidden 128 128 --activation relu --extension-share 0.5 --extension-updates 10 --evaluations 30 "
    "--eval-episodes 60 --final-episodes 60 --processes 2 --target-kl 0.03"
)
VARIED = (
    "--extension none --variation-share 0.5 --steps 300000 --num-envs 8 --rollout-steps 16 --minibatches 4 "
    "--evaluations 30 --entropy-coefficient 0.1"
)
# where an enemy strikes once in ten times; the front is measured again on so many episodes that it can be told
GATHERING = (
    f"resource-gathering-v0 {VARIED} --steps 2000000 --variation-share 0.7 --num-envs 16 --num-policies 12 "
    "--variation-first-episodes 32 --variation-episodes 256 --eval-episodes 256 --final-episodes 4096"
)
CASES = {
    "varied: deep-sea-treasure": f"deep-sea-treasure-v0 --gamma 1 --reference-point 0 -25 {VARIED}",
    "varied: deep-sea-treasure, concave": f"deep-sea-treasure-concave-v0 --gamma 1 --reference-point 0 -25 {VARIED}",
    "varied: fruit-tree, depth 5": f"fruit-tree-v0 --env-kwargs depth 5 --gamma 0.99 {VARIED}",
    "varied: fruit-tree, depth 6": f"fruit-tree-v0 --env-kwargs depth 6 --gamma 0.99 {VARIED}",
    "varied: fruit-tree, depth 7": f"fruit-tree-v0 --env-kwargs depth 7 --gamma 0.99 {VARIED}",
    "varied: resource-gathering, γ = 1": f"{GATHERING} --gamma 1",
    "varied: resource-gathering, γ = 0.99": f"{GATHERING} --gamma 0.99",
    "varied: resource-gathering, γ = 0.95": f"{GATHERING} --gamma 0.95",
    "deep-sea-treasure": f"deep-sea-treasure-v0 {TREASURE} --extension-share 0.6",
    "deep-sea-treasure, concave": f"{CONCAVE} --extension-share 0.6",
    "deep-sea-treasure, concave, CPO": f"{CONCAVE} --extension-share 0.6 --extension cpo",
    "deep-sea-treasure, concave, first stage alone": f"{CONCAVE} --extension none",
    # policies are archived at the end of a stage or round only
    "deep-sea-treasure, concave, evaluated once a round": f"{CONCAVE} --extension-share 0.6 --evaluations 1",
    "deep-sea-treasure, concave, evaluated once a round, CPO": f"{CONCAVE} --extension-share 0.6 --evaluations 1 "
    "--extension cpo",
    "deep-sea-treasure, concave, evaluated once, first stage alone": f"{CONCAVE} --extension none --evaluations 1",
    "resource-gathering": "resource-gathering-v0 --steps 2000000 --num-policies 12 --num-envs 32 --rollout-steps 32 "
    "--minibatches 4 --entropy-coefficient 0.1 --evaluations 60 --eval-episodes 256 --final-episodes 512",
    "fruit-tree, depth 6": "fruit-tree-v0 --steps 500000 --gamma 0.99 --num-policies 64 --num-envs 4 "
    "--rollout-steps 12 --minibatches 2 --learning-rate 3e-3 --evaluations 60",
    "minecart, 500 000 steps": "minecart-v0 --steps 500000",
    "minecart, 500 000 steps, CPO": "minecart-v0 --steps 500000 --extension cpo",
    "minecart, 500 000 steps, first stage alone": "minecart-v0 --steps 500000 --extension none",
    "minecart, default": "minecart-v0",
    "mo-lunar-lander": LANDER,
    "mo-lunar-lander, a quarter of the steps": f"{LANDER} --steps 500000 --evaluations 15",
    "mo-hopper-2obj": f"mo-hopper-2obj-v5 --steps 6000000 {MUJOCO}",
    "mo-hopper-2obj, a quarter of the steps": f"mo-hopper-2obj-v5 --steps 1500000 {MUJOCO} --learning-rate 5e-4",
    "mo-hopper, 3 objectives": f"mo-hopper-v5 --steps 8000000 {MUJOCO}",
    "mo-ant-2obj": f"mo-ant-2obj-v5 --steps 6000000 {MUJOCO} --num-policies 3 --target-kl 0.03",
    "mo-ant-2obj, a quarter of the steps": f"mo-ant-2obj-v5 --steps 1500000 {MUJOCO} --num-policies 3 --target-kl 0.03",
    "mo-ant, 3 objectives": f"mo-ant-v5 --steps 6000000 {MUJOCO} --num-policies 3 --min-weight 0.2 --target-kl 0.03",
    "mo-humanoid": f"mo-humanoid-v5 --steps 6000000 {MUJOCO} --num-policies 3 --target-kl 0.03",
    "mo-halfcheetah, a quarter of the steps": f"mo-halfcheetah-v5 --steps 1500000 {MUJOCO} --learning-rate 5e-4",
    "mo-walker2d, a quarter of the steps": f"mo-walker2d-v5 --steps 1500000 {MUJOCO} --learning-rate 5e-4",
    "building-3d": "building-3d-v0 --preset paper",
    "building-9d": "building-9d-v0 --preset paper",
}
# C-MORL's published hypervolumes where the true front is unknown; None where it was not run in this setting
PUBLISHED = {
    "mo-lunar-lander": 1.05e9,
    "mo-hopper-2obj": 1.37e5,
    "mo-hopper, 3 objectives": 2.19e7,
    "mo-ant-2obj": 1.31e5,
    "mo-ant, 3 objectives": 2.61e7,
    "mo-humanoid": 3.43e5,
    "mo-halfcheetah": None,
    "mo-walker2d": None,
    "building-3d": None,
    "building-9d": None,
}


@dataclass
class Result:
    """Result of one `morl train cmorl` in a process of its own.

    The hypervolume is that of the re-evaluated front; ``estimate`` is that of the archive by training's estimates.
    ``coverage`` has the metrics of :data:`COVERAGE` where a front is known, which ``known`` is; ``protocol`` has its
    lines and warnings.
    """

    seconds: float
    policies: int
    hypervolume: float
    estimate: float
    utility: float
    sparsity: float
    gamma: float
    reference_point: list[float]
    coverage: dict[str, float]
    protocol: list[str]
    known: Any
    history: list[dict[str, float]]

    def seconds_to(self, hypervolume: float) -> str:
        """Return the wall-clock seconds until an evaluation first reached a hypervolume, as text; "-" if none did."""
        lead = (
            self.seconds - self.history[-1]["seconds"]
        )  # imports before the loop, re-evaluation and pictures after it
        rows = [row for row in self.history if row["hypervolume"] >= hypervolume]
        return f"{rows[0]['seconds'] + lead:.0f}" if rows else "-"


def one_run(*flags: str) -> Result:
    """Train and read the run back."""
    import morl
    from morl.ops.metrics import expected_utility, hypervolume, sparsity
    from morl.ops.preferences import simplex_lattice

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", "morl", "train", "cmorl", "--out", str(out), *flags]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        rows = csv.DictReader((out / "metrics.csv").read_text().splitlines())
        history = [{name: float(value) for name, value in row.items()} for row in rows]
        front = morl.load(out).front
    returns, reference = front.returns, front.reference_point
    exact = len(front) <= 100  # 200 points of nine objectives take minutes
    utility = expected_utility(returns, simplex_lattice(returns.shape[1], APART.get(returns.shape[1], 0.5)))
    return Result(
        seconds=seconds,
        policies=len(front),
        hypervolume=hypervolume(returns, reference) if exact else front.hypervolume(),
        estimate=history[-1]["hypervolume"],
        utility=utility,
        sparsity=sparsity(returns),
        gamma=front.gamma,
        reference_point=reference.tolist(),
        coverage=coverage_of(front),
        protocol=[*front.protocol.describe(), *front.notes],
        known=front.protocol.known_front,
        history=history,
    )


def coverage_of(front: Any) -> dict[str, float]:
    """Return the metrics of :data:`COVERAGE` of a front; NaN where none is known."""
    from morl.ops.preferences import equally_spaced_weights
    from morl.quality import NUM_PREFERENCES, measure
    from morl.registry import metric_specs

    known = front.protocol.known_front
    if known is None:
        return dict.fromkeys(COVERAGE, float("nan"))
    found = measure(
        front.returns,
        [metric_specs()[name] for name in COVERAGE],
        reference_point=front.reference_point,
        preferences=equally_spaced_weights(front.returns.shape[1], NUM_PREFERENCES),
        known_front=known.points,
    )
    return {name: found[name] for name in COVERAGE}


def minecart_hypervolume() -> float:
    """Hypervolume of MO-Gymnasium's own (approximate) front at gamma 0.98: 668.18."""
    import mo_gymnasium

    from morl.ops.metrics import hypervolume

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the precision of its spaces
        front = mo_gymnasium.make("minecart-v0").unwrapped.pareto_front(0.98)
    return hypervolume(front, [float(x) for x in MINECART_REFERENCE])


def reference_hypervolume(name: str, result: Result) -> float:
    """Return the hypervolume of the true front, else of the published one, else 1, so that shares are hypervolumes."""
    last = result.history[-1]
    if "hypervolume_share" in last:
        return last["hypervolume"] / last["hypervolume_share"]
    case = name.removesuffix(", a quarter of the steps")
    return PUBLISHED[case] or 1.0 if case in PUBLISHED else minecart_hypervolume()


def fronts(wanted: str, seeds: range) -> None:
    """Print a line for each seed, then a row of a table for each case."""
    rows = []
    for name, flags in CASES.items():
        if wanted not in name:
            continue
        print(
            f"\n{name}: morl train cmorl --env {flags}\nseed policies HV share estimate EU sparsity "
            f"{' '.join(COVERAGE)} seconds to_0.95",
            flush=True,
        )
        results, shares, reached = [], [], []
        for seed in seeds:
            result = one_run("--env", *flags.split(), "--seed", str(seed))
            true = reference_hypervolume(name, result)
            shares.append(result.hypervolume / true)
            results.append(result)
            reached.append("-" if true == 1 else result.seconds_to(0.95 * true))
            volumes = f"{result.hypervolume:.6g} {shares[-1]:.4g} {result.estimate / true:.4g}"
            covered = " ".join(f"{x:.4g}" for x in result.coverage.values())
            quality = f"{volumes} {result.utility:.4g} {result.sparsity:.4g} {covered}"
            if seed == seeds[0]:
                print(*result.protocol, sep="\n")
            print(f"{seed} {result.policies} {quality} {result.seconds:.1f} {reached[-1]}", flush=True)
        share = f"{statistics.median(shares):.4g} ({min(shares):.4g} to {max(shares):.4g}) of {true:.6g}"
        estimate = f"{statistics.median(result.estimate for result in results) / true:.4g}"
        policies = [result.policies for result in results]
        walls = [result.seconds for result in results]
        others = " | ".join(
            f"{statistics.median(x):.4g}"
            for x in zip(*((*r.coverage.values(), r.utility, r.sparsity) for r in results), strict=True)
        )
        wall = f"{statistics.median(walls):.0f} s ({max(walls):.0f} s)"
        sizes = f"{min(policies)} to {max(policies)}"
        rows.append(f"| {name} | {share} | {estimate} | {others} | {sizes} | {wall} | {', '.join(reached)} |")
    print(
        "\n| case | share of the known or published hypervolume | by training's estimates | tight | covered | gap "
        "| MUL | EU | sparsity | policies | wall-clock | s to 0.95 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="", help="part of a case's name")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    fronts(args.case, range(args.first_seed, args.first_seed + args.seeds))


if __name__ == "__main__":
    main()
