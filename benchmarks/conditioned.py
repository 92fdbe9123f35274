"""Fronts of agents whose one policy takes any preference, at equal steps, beside the known fronts and doing nothing.

    python benchmarks/conditioned.py                             # all cases, seeds 0 to 2
    python benchmarks/conditioned.py minecart --seeds 1          # those whose name has it, seed 0
    python benchmarks/conditioned.py deep-sea --agents capql --variants all    # and each of its options
    python benchmarks/conditioned.py --show                      # the table of what is stored

Every training is a `morl train` in a process of its own, whose policy is re-evaluated on fresh episodes for 101
preferences with two objectives, 66 with three, 252 with six. Settings are those of the agent's preset ``benchmark``,
to be chosen on seeds from 100 on; flags of a case win. A variant is the agent with one option changed. Doing nothing
is the front of policies that always do the same: one choice of a discrete action, 0 in every number of a continuous
one. Wall-clock is that of the whole command, with ``--together`` divided by the number of its seeds.

Results are written to ``benchmarks/results/conditioned.json``, from which the documentation has its table: a row for
each agent, variant and case, with the command, the machine and the numbers of each seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "conditioned.json"
TREASURE = "deep-sea-treasure-v0 --gamma 1 --reference-point 0 -25 --final-episodes 1 --num-preferences 101"
MINECART = "minecart-v0 --gamma 0.98 --reference-point -1 -1 -200 --final-episodes 128 --num-preferences 66"
HOPPER = (
    "mo-hopper-2obj-v5 --gamma 0.99 --reference-point -100 -100 --env-kwargs max_episode_steps 500 "
    "--final-episodes 10 --num-preferences 101"
)
CASES = {
    "deep-sea-treasure, 50 000 steps": f"{TREASURE} --steps 50000",
    "deep-sea-treasure, 200 000 steps": f"{TREASURE} --steps 200000",
    "minecart, 200 000 steps": f"{MINECART} --steps 200000",
    "minecart, 500 000 steps": f"{MINECART} --steps 500000",
    "minecart, 1M steps": f"{MINECART} --steps 1000000",
    "fruit-tree, depth 6, 500 000 steps": "fruit-tree-v0 --gamma 0.99 --reference-point -1 -1 -1 -1 -1 -1 "
    "--final-episodes 1 --num-preferences 252 --steps 500000",
    "resource-gathering, 1M steps": "resource-gathering-v0 --final-episodes 512 --num-preferences 66 --steps 1000000",
    "mo-hopper-2obj, 100 000 steps": f"{HOPPER} --steps 100000",
    "mo-hopper-2obj, 300 000 steps": f"{HOPPER} --steps 300000",
}
ARCHIVE = "ARCHIVE"  # stands for the run directory that a warm start begins with
WARM = f"--warm-start {ARCHIVE}"
# the training of that run, which has three quarters of the steps; chosen for minecart on seed 100
BEFORE = "cmorl --preset tuned --num-policies 3 --min-weight 0.1 --variation-share 0.5"
VARIANTS = {
    "capql": {
        "relabelling of half": "--relabel-preferences",
        "without relabelling": "--no-relabel-preferences",
        "one step of rewards": "--n-step 1",
        "one step, relabelling of half": "--n-step 1 --relabel-preferences",
        "the lesser of each objective": "--twin-minimum objective",
        "layer normalisation": "--critic-network layer_norm",
        "residual blocks": "--critic-network residual --critic-hidden 64 64",
        "CrossQ": "--critic-network batch_norm --no-target-networks",
        "no target networks": "--no-target-networks",
        "prioritised replay": "--prioritised-replay",
        "update-to-data ratio 1": "--update-ratio 1",
        "learnt temperature": "--learn-temperature",
        "raw rewards": "--objective-scales 1",
        "GPI over 21 preferences": "--gpi-preferences 21",
        "warm start": WARM,
    },
    "d3po": {"warm start": WARM},
}
KNOWN = {"minecart": 668.18}  # of MO-Gymnasium's approximate front, benchmarks/cmorl.py; others compute theirs


def train(arguments: list[str]) -> None:
    """Run ``morl train`` in a process of its own."""
    subprocess.run([sys.executable, "-m", "morl", "train", *arguments], check=True, stdout=subprocess.DEVNULL)


def shared_steps(flags: list[str]) -> tuple[list[str], list[str]]:
    """Return the flags of the run that a warm start begins with, and those of the training that imitates it.

    Both together have the steps of the case.
    """
    if ARCHIVE not in flags:
        return [], flags
    before = BEFORE.split()
    for name in ("--env", "--gamma", "--seed"):
        at = flags.index(name)
        before += flags[at : at + 2]
    at = flags.index("--steps") + 1
    steps = int(flags[at])
    imitating = str(steps // 4)
    after = [*flags[:at], imitating, *flags[at + 1 :], "--warm-start-steps", imitating]
    return [*before, "--steps", str(steps - steps // 4), "--out", ARCHIVE], after


def one_run(agent: str, flags: list[str]) -> tuple[list[dict[str, Any]], Any]:
    """Train and read the run back; return the numbers of each of its seeds, and its setup.

    Where a flag is ``ARCHIVE``, the run that it stands for is trained first, by :data:`BEFORE`; its time counts.
    """
    from morl.loading import setup_of
    from morl.ops.metrics import expected_utility
    from morl.ops.preferences import equally_spaced_weights

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        started = time.perf_counter()
        before, after = shared_steps(flags)
        if before:
            train([*before[:-1], f"{scratch}/{ARCHIVE}"])
        own = [f"{scratch}/{ARCHIVE}" if flag == ARCHIVE else flag for flag in after]
        train([agent, "--preset", "benchmark", *own, "--out", str(out)])
        seconds = time.perf_counter() - started
        import morl

        fronts, (setup, _) = morl.load(out).fronts, setup_of(out)
    return [
        {
            "seed": seed,
            "hypervolume": front.hypervolume(),
            "policies": len(front),
            "expected_utility": expected_utility(
                front.returns, equally_spaced_weights(len(front.objectives), setup.config.num_preferences)
            ),
            "seconds": round(seconds / len(fronts), 1),
        }
        for seed, front in fronts.items()
    ], setup


def doing_nothing(setup: Any, episodes: int) -> float:
    """Return the hypervolume of the policies that always do the same."""
    from gymnasium import spaces

    from morl.ops.metrics import hypervolume

    space = setup.env.action_space
    if isinstance(space, spaces.Discrete):
        actions = list(range(int(space.start), int(space.start + space.n)))
    else:
        actions = [np.zeros(space.shape, space.dtype)]
    returns = [constant_returns(setup, action, episodes) for action in actions]
    return hypervolume(np.array(returns), setup.reference_point)


def constant_returns(setup: Any, action: Any, episodes: int) -> np.ndarray[Any, Any]:
    """Return the mean discounted return (R,) of always taking one action."""
    import gymnasium
    import mo_gymnasium  # noqa: F401  # registers its environments

    import morl  # noqa: F401  # registers ours

    kwargs = {}
    if setup.backend == "jax":
        env = gymnasium.make(f"morl/{setup.env.id}")
    else:
        kwargs = {"max_episode_steps": setup.env.max_episode_steps}
        env = gymnasium.make(setup.env.id, disable_env_checker=True, **kwargs)
    total = np.zeros(len(setup.objectives))
    for seed in range(episodes):
        env.reset(seed=seed)
        discount, over = 1.0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step(action)
            total += discount * np.asarray(reward, np.float64)
            discount, over = discount * setup.gamma, terminated or truncated
    env.close()
    return total / episodes


def known_hypervolume(name: str, setup: Any) -> float | None:
    """Return the hypervolume of the exact or best known front, if there is one."""
    short = name.split(",")[0]
    return KNOWN.get(short, setup.true_hypervolume)


def machine() -> dict[str, Any]:
    return {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()}


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def command_of(agent: str, flags: list[str]) -> str:
    """Return the commands of a row, without the seed where nothing else has it."""
    before, after = shared_steps([*flags, "--seed", "SEED"] if ARCHIVE in flags else flags)
    first = f"morl train {' '.join(before)} && " if before else ""
    return f"{first}morl train {agent} --preset benchmark {' '.join(after)}"


def measure(agent: str, name: str, seeds: range, variant: str | None = None, *, together: bool = False) -> None:
    """Train the seeds of a case, one after another or together, and store its row."""
    changed = "" if variant is None else f" {VARIANTS[agent][variant]}"
    label = agent if variant is None else f"{agent}, {variant}"
    flags, runs, setup = f"{CASES[name]}{changed}".split(), [], None
    number = len(seeds) if together else 1
    for seed in seeds[::number]:
        several = ["--num-seeds", str(number)] if together else []
        found, setup = one_run(agent, ["--env", *flags, "--seed", str(seed), *several])
        runs += found
        print(f"{label} {name}: {json.dumps(found)}", flush=True)
    if setup is None:
        return
    row = {
        "agent": label,
        "case": name,
        "command": command_of(agent, ["--env", *flags]),
        "gamma": setup.gamma,
        "reference_point": list(map(float, setup.reference_point)),
        "known": known_hypervolume(name, setup),
        "doing_nothing": doing_nothing(setup, 10),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "runs": runs,
    }
    rows = {**stored(), f"{label}: {name}": row}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


def show(wanted: str) -> None:
    """Print a row for each stored case."""
    for row in stored().values():
        if wanted not in row["case"]:
            continue
        volumes = [run["hypervolume"] for run in row["runs"]]
        share = f", {statistics.median(volumes) / row['known']:.4g} of {row['known']:.6g}" if row["known"] else ""
        seconds = [run["seconds"] for run in row["runs"]]
        print(
            f"{row['agent']} {row['case']}: hypervolume {statistics.median(volumes):.6g} "
            f"({min(volumes):.6g} to {max(volumes):.6g}){share}; doing nothing {row['doing_nothing']:.6g}; "
            f"{statistics.median(seconds):.0f} s; {[run['policies'] for run in row['runs']]} policies"
        )


def variants(agent: str, wanted: list[str]) -> list[str | None]:
    """Return the variants of an agent by name, or the agent itself where none is wanted."""
    known = VARIANTS.get(agent, {})
    return [*known] if wanted == ["all"] else [*wanted] or [None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="", help="part of a case's name")
    parser.add_argument("--agents", nargs="+", default=["d3po"], help="agents with a preset benchmark")
    parser.add_argument("--variants", nargs="+", default=[], help="of an agent, instead of itself; all for every one")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--together", action="store_true", help="train the seeds of a row side by side, in one command")
    parser.add_argument("--show", action="store_true", help="print what is stored, and train nothing")
    args = parser.parse_args()
    if not args.show:
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        for name in [name for name in CASES if args.case in name]:
            for agent in args.agents:
                for variant in variants(agent, args.variants):
                    measure(agent, name, seeds, variant, together=args.together)
    show(args.case)


if __name__ == "__main__":
    main()
