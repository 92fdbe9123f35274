"""GMORL on the task-offloading simulator: its front, what it generalises to, what each part of it is good for.

    python benchmarks/mec.py fronts --save schemes.npz          # first: what it is compared with
    python benchmarks/gmorl.py train --runs gmorl-runs          # all policies that the tables need, about an hour
    python benchmarks/gmorl.py fronts --runs gmorl-runs --schemes schemes.npz --out docs/gmorl-fronts.png
    python benchmarks/gmorl.py generalise --runs gmorl-runs
    python benchmarks/gmorl.py ablate --runs gmorl-runs
    python benchmarks/gmorl.py classic
    python benchmarks/gmorl.py latency --runs gmorl-runs

`benchmarks/gmorl_speed.py` has the speeds. Every training is a `morl train` in a process of its own, started only where
its directory is not there yet. Fronts: E = 6, f_0 = 4 GHz, f_e = 2 GHz, 101 preferences, 1000 episodes of each, the
same for all schemes; the reference point is the worst delay and the worst energy of all fronts (Yang et al., 2025).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import morl
from morl.envs.mec import MecOffloading, schemes
from morl.ops import metrics
from morl.yardsticks.coverage import hypervolume_tight

SYSTEM = {"cloud_frequency": 4.0, "edge_frequency": 2.0}
STEPS = 1_920_000
SETTINGS = (
    "--hidden 32 32 --train-gamma 0.95 --objective-scales 0.003 1.5 --temperature 0.01 "
    "--evaluations 10 --eval-episodes 16 --final-episodes 64"
)
TRAIN = f"gmorl --env mec-offloading-v0 --steps {STEPS} {SETTINGS} --env-kwargs max_edges 8"
SHORT = TRAIN.replace(str(STEPS), str(STEPS // 4))  # ablations and "all parts": a quarter of the steps
ONE_SYSTEM = "num_edges 6 cloud_frequency 4.0 edge_frequency 2.0 max_edges 6"
RUNS = {
    "gmorl": f"{TRAIN} --num-seeds 2",
    "gmorl, third seed": f"{TRAIN} --seed 2",
    "trained on the test ranges": f"{TRAIN} --env-kwargs contexts test",
    "all parts": SHORT,
    "without histogram": f"{SHORT} --env-kwargs max_edges 8 bins 1",
    "without mask": f"{SHORT} --no-mask-actions",
    "without domain randomisation": f"{SHORT} --env-kwargs {ONE_SYSTEM}",
    "without preference input": f"{SHORT} --no-preference-input",
    "without relabelling": f"{SHORT} --no-relabel-preferences",
    "separate": f"dsac --env mec-offloading-v0 --env-kwargs {ONE_SYSTEM} --num-policies 101 --num-envs 4 "
    "--rollout-steps 10 --gradient-steps 4 --batch-size 64 --replay-capacity 16000 --learning-starts 800 "
    f"--steps 6464000 {SETTINGS}",
}


def directory(runs: Path, name: str) -> Path:
    return runs / name.replace(",", "").replace(" ", "-")


def train(runs: Path, wanted: str) -> None:
    """Train the runs whose names contain ``wanted`` and that have no front yet; write down the seconds of each."""
    for name, flags in RUNS.items():
        out = directory(runs, name)
        if wanted not in name or (out / "front.csv").exists():
            continue
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "morl", "train", *flags.split(), "--out", str(out)], check=True)
        seconds = time.perf_counter() - started
        (out / "seconds.txt").write_text(f"{seconds:.0f}\n")
        print(f"# {name}: {seconds:.0f} s", flush=True)


def returns(run: Path, seed: int, env: MecOffloading, number: int = 101, episodes: int = 1000) -> np.ndarray[Any, Any]:
    """(n, 2) mean undiscounted returns of all its policies or preferences, dominated or not."""
    front = morl.load(run).fronts[seed]
    if front.conditional:
        preferences = schemes.grid(number)
        policies = jax.tree.map(lambda x: np.stack([x] * number), front.params)
    else:
        preferences, policies = front.preferences, front.params
    found = schemes.evaluated(env, schemes.Learned(front.learner), policies, preferences, episodes=episodes)
    return np.asarray(found.undiscounted, np.float64).mean(axis=1)


def seeds_of(runs: Path) -> list[tuple[Path, int]]:
    """GMORL's three trainings."""
    first, last = (directory(runs, name) for name in ("gmorl", "gmorl, third seed"))
    return [(first, 0), (first, 1), (last, 2)]


def front_of(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return points[morl.ops.pareto.non_dominated(points, keep_duplicates=False)]


def fronts(runs: Path, saved: Path, out: Path | None, episodes: int) -> None:
    env = MecOffloading(num_edges=6, **SYSTEM)
    found = {name: np.asarray(points) for name, points in np.load(saved).items() if "least" not in name}
    for i, (run, seed) in enumerate(seeds_of(runs)):
        found[f"GMORL, seed {i}"] = front_of(returns(run, seed, env, episodes=episodes))
    separate = directory(runs, "separate")
    if (separate / "front.csv").exists():
        found["one policy each (101)"] = front_of(
            returns(separate, 0, MecOffloading(num_edges=6, **SYSTEM), episodes=episodes)
        )
    worst = np.min([points.min(axis=0) for points in found.values()], axis=0)
    print(f"reference point: {-worst[0]:.0f} s, {-worst[1]:.3f} J (worst of the fronts)")
    volumes = {name: metrics.hypervolume(points, worst) for name, points in found.items()}
    ours = [name for name in found if name.startswith("GMORL")]
    mean = statistics.mean(volumes[name] for name in ours)
    print("| scheme | policies on the front | fastest: s, J | thriftiest: s, J | hypervolume, s J | GMORL above it |")
    print("|---|---|---|---|---|---|")
    for name in sorted(found, key=lambda name: -volumes[name]):
        points = -found[name]
        fast, thrifty = points[points[:, 0].argmin()], points[points[:, 1].argmin()]
        ends = " | ".join(f"{delay:.0f}, {energy:.2f}" for delay, energy in (fast, thrifty))
        print(f"| {name} | {len(points)} | {ends} | {volumes[name]:.0f} | {mean / volumes[name] - 1:+.1%} |")
    if out:
        draw({name: points for name, points in found.items() if name not in ours[1:]}, worst, out)


def draw(found: dict[str, np.ndarray[Any, Any]], worst: np.ndarray[Any, Any], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for name, points in found.items():
        ordered = -points[np.argsort(points[:, 0])]
        axes.plot(*ordered.T, marker="o", markersize=3, linewidth=1, label=name.replace(", seed 0", ""))
    axes.plot(*-worst, "k+", markersize=12, label="reference point")
    axes.set(xlabel="delay, s an episode", ylabel="energy, J an episode", xscale="log")
    axes.set_title("mec-offloading-v0, E = 6, 4 and 2 GHz: lower left is better", fontsize=11)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(out, dpi=120)
    print(f"# wrote {out}")


def compared(found: dict[str, np.ndarray[Any, Any]], against: str) -> list[str]:
    """Rows of a table: hypervolumes by the worst of all these fronts, beside one of them."""
    fronts = {name: front_of(points) for name, points in found.items()}
    worst = np.min([points.min(axis=0) for points in fronts.values()], axis=0)
    volumes = {name: metrics.hypervolume(points, worst) for name, points in fronts.items()}
    where = f"{-worst[0]:.0f} s, {-worst[1]:.2f} J"
    return [
        f"{name} | {volume:.0f} | {volume / volumes[against] - 1:+.2%} | {where}" for name, volume in volumes.items()
    ]


def generalise(runs: Path, episodes: int) -> None:
    """Trained on the train ranges against trained on the test ranges, evaluated on the latter's frequencies."""
    print("| evaluated on | policy | hypervolume, s J | beside trained on the test ranges | reference point |")
    print("|---|---|---|---|---|")
    theirs = "trained on the test ranges"
    for num_edges in (6, 9):
        env = MecOffloading(contexts="test", num_edges=num_edges)
        found = {theirs: returns(directory(runs, theirs), 0, env, episodes=episodes)}
        for i, (run, seed) in enumerate(seeds_of(runs)):
            found[f"trained on the train ranges, seed {i}"] = returns(run, seed, env, episodes=episodes)
        none = np.zeros(101, np.float32)
        greedy = schemes.evaluated(env, schemes.Greedy(), none, schemes.grid(101), episodes=episodes)
        found["greedy-ω"] = np.asarray(greedy.undiscounted, np.float64).mean(axis=1)
        for row in compared(found, theirs):
            print(f"| E = {num_edges}, 3 to 5 and 1.5 to 2.5 GHz | {row} |", flush=True)


def ablate(runs: Path, episodes: int) -> None:
    """Each without one part, on the published system and on the ranges it was trained for."""
    print("| evaluated on | trained | hypervolume, s J | beside all parts | reference point |")
    print("|---|---|---|---|---|")
    names = [name for name in RUNS if name.startswith("without")]
    for title, kwargs in (
        ("E = 6, 4 and 2 GHz", {"num_edges": 6, **SYSTEM}),
        ("E = 3, 4 and 2 GHz", {"num_edges": 3, **SYSTEM}),
    ):
        found = {}
        for name in ["all parts", *names]:
            bins = 1 if "histogram" in name else 60
            env = MecOffloading(max_edges=8 if "randomisation" not in name else 6, bins=bins, **kwargs)
            found[name] = returns(directory(runs, name), 0, env, episodes=episodes)
        for row in compared(found, "all parts"):
            print(f"| {title} | {row} |", flush=True)


CLASSIC = {
    "minecart-v0": ("--steps 600000 --gamma 0.98 --preset far", "--steps 600000 --gamma 0.98"),
    "deep-sea-treasure-concave-v0": ("--steps 300000 --gamma 1 --preset far", "--steps 300000 --gamma 1"),
    "deep-sea-treasure-v0": ("--steps 300000 --gamma 1 --preset far", "--steps 300000 --gamma 1"),
}


def classic(seeds: int, wanted: str) -> None:
    """Fronts by 100 preferences beside C-MORL's and the truth."""
    print("| environment | agent | hypervolume, median (lowest to highest) | tight | points | wall-clock, s |")
    print("|---|---|---|---|---|---|")
    for env, (ours, theirs) in CLASSIC.items():
        for agent, flags in (
            ("gmorl", f"{ours} --num-preferences 100"),
            ("gmorl", f"{ours} --num-preferences 100 --scalarisation tchebycheff"),
            ("cmorl", theirs),
        ):
            if wanted not in f"{agent} {env} {flags}":
                continue
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / "run"
                command = f"-m morl train {agent} --env {env} {flags} --num-seeds {seeds} --out {out}"
                started = time.perf_counter()
                subprocess.run([sys.executable, *command.split()], check=True, capture_output=True)
                seconds = time.perf_counter() - started
                fronts = list(morl.load(out).fronts.values())
            print(*fronts[0].protocol.describe(), *fronts[0].notes, sep="\n", file=sys.stderr)
            tight = statistics.median(hypervolume_tight(f.returns, f.protocol.known_front.points)[0] for f in fronts)
            volumes = [front.hypervolume() for front in fronts]
            spread = f"{statistics.median(volumes):.6g} ({min(volumes):.6g} to {max(volumes):.6g})"
            name = f"{agent} {'Tchebycheff' if 'tchebycheff' in flags else ''}".strip()
            print(
                f"| {env} | {name} | {spread} | {tight:.3f} | {[len(f) for f in fronts]} | {seconds:.0f} |", flush=True
            )


def latency(runs: Path) -> None:
    """One decision, and ten thousand in one call, of a policy that was loaded."""
    policy = morl.load(directory(runs, "gmorl")).front.at(0)
    env = MecOffloading(max_edges=8)
    keys = jax.random.split(jax.random.key(0), 10_000)
    obs = np.asarray(jax.vmap(env.reset, (0, None))(keys, env.default_params)[1])

    def timed(call: Callable[[], Any], number: int) -> list[float]:
        call()
        found = []
        for _ in range(number):
            started = time.perf_counter()
            call()
            found.append(time.perf_counter() - started)
        return found

    one = timed(lambda: policy(obs[0], [0.7, 0.3]), 2000)
    many = timed(lambda: policy(obs, [0.7, 0.3]), 20)
    print(f"one decision: median {np.median(one) * 1e3:.3f} ms, 99 % below {np.quantile(one, 0.99) * 1e3:.3f} ms")
    print(f"10 000 in one call: median {np.median(many) * 1e3:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "fronts", "generalise", "ablate", "classic", "latency"])
    parser.add_argument("--runs", type=Path, default=Path("gmorl-runs"), help="directory of the trainings")
    parser.add_argument("--schemes", type=Path, help="fronts saved by benchmarks/mec.py")
    parser.add_argument("--out", type=Path, help="picture of the fronts")
    parser.add_argument("--only", default="", help="trainings or cases whose name has it")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    a = parser.parse_args()
    if a.what == "fronts" and a.schemes is None:
        parser.error("fronts needs --schemes")
    {
        "train": lambda: train(a.runs, a.only),
        "fronts": lambda: fronts(a.runs, a.schemes, a.out, a.episodes),
        "generalise": lambda: generalise(a.runs, a.episodes),
        "ablate": lambda: ablate(a.runs, a.episodes),
        "classic": lambda: classic(a.seeds, a.only),
        "latency": lambda: latency(a.runs),
    }[a.what]()


if __name__ == "__main__":
    main()
