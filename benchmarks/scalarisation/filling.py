"""Fronts filled by merged policies: more policies, at which share of the training, and how high the barriers are."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CASES = {
    "building-3d": "--env building-3d-v0 --final-episodes 10 --eval-episodes 4 --steps 300000",
    "mo-hopper-2obj": "--env mo-hopper-2obj-v5 --reference-point -100 -100 --final-episodes 10 --eval-episodes 4"
    " --steps 300000",
}
FLAGS = {  # of filling: episodes are long, so few candidates
    "building-3d": "--candidates 96 --rounds 1 --episodes 2",
    "mo-hopper-2obj": "--candidates 48 --rounds 1 --episodes 1 --members 2 --final-episodes 3",
}
STARTS = {  # how the policies are related
    "own starts": "ppo",  # six policies, each from a network of its own
    "one start": "cmorl --num-policies 1",  # all descend from one network
}


def run(*words: str) -> tuple[str, float]:
    """Run ``morl`` in a process of its own; return its output and the seconds it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "morl", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout, time.perf_counter() - started


def one_run(case: str, start: str, seed: int, steps: int | None) -> dict[str, Any]:
    """Train and fill; return the findings without the single lines and groups."""
    train = [*STARTS[start].split(), *CASES[case].split()]
    if steps is not None:
        train[train.index("--steps") + 1] = str(steps)
    with tempfile.TemporaryDirectory() as scratch:
        source, out = str(Path(scratch) / "run"), str(Path(scratch) / "filled")
        trained = run("train", *train, "--seed", str(seed), "--out", source)[1]
        text, seconds = run("fill", source, *FLAGS[case].split(), "--out", out, "--json")
    found = json.loads(text)
    report = found["seeds"][str(seed)]
    barriers = [max(x["below"]) for x in report["lines"] if x["round"] == 0 and None not in x["below"]]
    return {
        "seed": seed,
        **{name: report[name] for name in ("before", "after", "merges", "tried", "promising", "hypervolumes")},
        "steps": found["steps"],
        "share_of_steps": found["steps"] / found["trained_steps"],
        "share_of_seconds": seconds / trained,
        "barriers": {"lowest": min(barriers), "median": statistics.median(barriers), "highest": max(barriers)}
        if barriers
        else None,
        "r2": [statistics.median(column) for column in zip(*[x["r2"] for x in report["groups"]], strict=True)],
        "r2_left_out": [
            statistics.median(column) for column in zip(*[x["r2_left_out"] for x in report["groups"]], strict=True)
        ],
    }


def measure(case: str, seeds: range, steps: int | None = None) -> dict[str, Any]:
    """Return rows of a case, one for each way that policies are related, of the runs of several seeds."""
    if case not in CASES:
        raise SystemExit(f"unknown case {case!r}; known: {', '.join(CASES)}")
    rows = {}
    for start, agent in STARTS.items():
        runs = []
        for seed in seeds:
            runs.append(one_run(case, start, seed, steps))
            print(f"{case}, {start}: {runs[-1]}", flush=True)
        flags = CASES[case] if steps is None else f"{CASES[case].rpartition(' ')[0]} {steps}"
        commands = [f"morl train {agent} {flags}", f"morl fill RUN {FLAGS[case]}"]
        rows[f"{case}, {start}"] = {"case": case, "start": start, "commands": commands, "runs": runs}
    return rows
