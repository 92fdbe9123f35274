"""Speed of two checkouts of this library, in turns, on the same machine: did a change make anything slower?

    git worktree add ../before COMMIT
    python benchmarks/checkouts/before_after.py ../before .
    python benchmarks/checkouts/before_after.py ../before . --rounds 9 --only cmorl first-cmorl
    python benchmarks/checkouts/before_after.py --show benchmarks/results/before_after.json

Each measurement is a process of its own, with this Python and the library of one checkout. They take turns (A B,
then B A, and so on), as the speed of a machine changes, and medians over the rounds are compared. Flags and functions
used here are the same in both. What is measured, with compilation only where it says so:

- cmorl: environment steps/s of C-MORL's first stage on minecart, learning included;
- gmorl: gradient steps/s of GMORL on minecart, acting included;
- mogfn: updates/s of MOGFN on the hypergrid;
- first-cmorl, first-gmorl: seconds from the start of the process until the first update is done, with imports and
  compilation, and no cache of compiled programs;
- second-cmorl, second-gmorl: the same of a `morl train` that finds what an earlier one has compiled, if the checkout
  keeps that;
- help: seconds of `morl train cmorl --help`.

Rates are `steps_per_second` of metrics.csv, time spent collecting and learning; the rows that compile are left out. The
ratio is above 1 where the second checkout is faster. Prints a table in Markdown and writes every measurement to a JSON
file, beside those that the file has of other names. Exit code 1 if a ratio is below --least.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[1]
FEW = "--eval-episodes 2 --final-episodes 2 --seed 1"

# Ends the process as soon as the first update is done, which is when a training asks whether it should stop.
FIRST_UPDATE = """
import os, sys
from pathlib import Path
import morl

def stop():
    print("updated", flush=True)
    os._exit(0)

agent, env, out, device = sys.argv[1:]
try:
    from morl.training.backends import compile_cache
except ImportError:  # a checkout that compiles anew each time
    compile_cache = None
if compile_cache and "XDG_CACHE_HOME" in os.environ:
    compile_cache.turn_on(os.environ)  # as `morl train` does
morl.train(agent, morl.TrainSettings(env=env, out=Path(out), device=device), should_stop=stop)
"""


@dataclass(frozen=True)
class Rate:
    """Rate of training, from metrics.csv.

    Attributes:
        unit: unit of the rate.
        flags: flags of ``morl train``.
        steps: steps of a full measurement.
        per_step: units in one step.
        evaluations: rows of metrics.csv.
        skip: rows at the start that compile, or that fill the replay.
    """

    unit: str
    flags: str
    steps: int
    per_step: float = 1.0
    evaluations: int = 10
    skip: int = 3

    def measure(self, checkout: Path, device: str, scale: float) -> float:
        """Train once and return the median rate of the rows that count."""
        steps = max(round(self.steps * scale), 1)
        flags = f"{self.flags} {FEW} --evaluations {self.evaluations} --device {device} --steps {steps}"
        with tempfile.TemporaryDirectory() as folder:
            run(checkout, ["-m", "morl", "train", *flags.split(), "--out", f"{folder}/run"])
            with open(f"{folder}/run/metrics.csv", newline="") as file:
                rows = list(csv.DictReader(file))
        if len(rows) <= self.skip:
            raise SystemExit(f"{checkout}: {len(rows)} rows in metrics.csv, more than {self.skip} are needed")
        return self.per_step * statistics.median(float(row["steps_per_second"]) for row in rows[self.skip :])


@dataclass(frozen=True)
class FirstUpdate:
    """Seconds until the first update is done.

    Attributes:
        agent, env: of the training.
        again: whether an earlier training may have left compiled programs.
    """

    agent: str
    env: str
    again: bool = False
    unit: str = "s"

    def measure(self, checkout: Path, device: str, scale: float) -> float:
        """Start a training and end it after its first update, twice where the second one counts."""
        with tempfile.TemporaryDirectory() as folder:

            def start(name: str) -> float:
                arguments = ["-c", FIRST_UPDATE, self.agent, self.env, f"{folder}/{name}", device]
                return run(checkout, arguments, "updated", cache=f"{folder}/cache" if self.again else None)

            seconds = start("run")
            return start("again") if self.again else seconds


@dataclass(frozen=True)
class Command:
    """Seconds of a command, from start to end."""

    arguments: str
    unit: str = "s"

    def measure(self, checkout: Path, device: str, scale: float) -> float:
        """Run it once."""
        return run(checkout, ["-m", "morl", *self.arguments.split()])


SAC = "--num-envs 64 --rollout-steps 10 --gradient-steps 16 --batch-size 256"
MEASUREMENTS: dict[str, Rate | FirstUpdate | Command] = {
    "cmorl": Rate("steps/s", "cmorl --env minecart-v0 --extension none --num-policies 6", steps=3_000_000),
    "gmorl": Rate("gradient steps/s", f"gmorl --env minecart-v0 {SAC}", steps=192_000, per_step=16 / 640),
    "mogfn": Rate("updates/s", "mogfn --env hypergrid-v0 --batch 64", steps=192_000, per_step=1 / 64),
    "first-cmorl": FirstUpdate("cmorl", "minecart-v0"),
    "first-gmorl": FirstUpdate("gmorl", "minecart-v0"),
    "second-cmorl": FirstUpdate("cmorl", "minecart-v0", again=True),
    "second-gmorl": FirstUpdate("gmorl", "minecart-v0", again=True),
    "help": Command("train cmorl --help"),
}


def run(checkout: Path, arguments: list[str], until: str | None = None, cache: str | None = None) -> float:
    """Run Python with the library of a checkout; return the seconds until it prints ``until``, or until it ends.

    ``cache`` is the folder for the user's caches; by default compiled programs are not kept.

    Raises:
        SystemExit: it failed; with what it said.
    """
    hidden = ("JAX_COMPILATION_CACHE_DIR", "PYTHONPATH", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTHONPATH"] = str(checkout)
    if cache is None:
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "0"
    else:
        environment["XDG_CACHE_HOME"] = cache
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/errors", "w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdout is not None
        seconds = None
        for line in process.stdout:
            if until is not None and line.strip() == until:
                seconds = time.perf_counter() - started
        code = process.wait()
        if until is None:
            seconds = time.perf_counter() - started
        if code or seconds is None:
            errors.seek(0)
            raise SystemExit(f"{checkout}: python {' '.join(arguments)} ended with {code}:\n{errors.read()}")
    return seconds


def commit(checkout: Path) -> str | None:
    """Return the commit of a checkout, with a plus where files differ from it; None outside of Git."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 and (checkout / ".git").exists() else None


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "numpy", "equinox", "optax")},
    }


def compare(
    checkouts: tuple[Path, Path], names: list[str], rounds: int, measure: Callable[[str, Path], float]
) -> dict[str, Any]:
    """Measure in turns; return rates or seconds of every round, medians and ratios by name."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
    for index in range(rounds):
        for name in names:
            for which in (0, 1) if index % 2 == 0 else (1, 0):
                found[name][which].append(measure(name, checkouts[which]))
            before, after = (values[-1] for values in found[name])
            unit = MEASUREMENTS[name].unit
            print(f"round {index + 1}, {name}: {before:,.2f} -> {after:,.2f} {unit}", file=sys.stderr, flush=True)
    results = {}
    for name, (before, after) in found.items():
        medians = statistics.median(before), statistics.median(after)
        unit = MEASUREMENTS[name].unit
        ratio = medians[0] / medians[1] if unit == "s" else medians[1] / medians[0]
        results[name] = {
            "unit": unit,
            "before": before,
            "after": after,
            "median_before": medians[0],
            "median_after": medians[1],
            "ratio": round(ratio, 4),
        }
    return results


def table(results: dict[str, Any]) -> str:
    """Return the medians in Markdown."""
    lines = ["| | unit | before | after | ratio |", "|---|---|---|---|---|"]
    for name, each in results.items():
        figures = [f"{each[key]:,.{0 if each[key] >= 1000 else 2}f}" for key in ("median_before", "median_after")]
        lines.append(f"| {name} | {each['unit']} | {figures[0]} | {figures[1]} | {each['ratio']:.3f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="checkout")
    parser.add_argument("after", type=Path, nargs="?", help="checkout")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of a result, and measure nothing")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each checkout")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS), metavar="NAME")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps of a full measurement")
    parser.add_argument("--device", default="cpu", help="where JAX runs")
    parser.add_argument("--least", type=float, default=0.97, help="ratio below which this fails")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "results" / "before_after.json")
    options = parser.parse_args()
    if options.show:
        print(table(json.loads(options.show.read_text())["results"]))
        return 0
    if options.after is None:
        parser.error("give two checkouts, or --show and a result")
    checkouts = options.before.resolve(), options.after.resolve()
    for checkout in checkouts:
        if not (checkout / "morl" / "__init__.py").exists():
            parser.error(f"{checkout} is no checkout of this library")
    begun = machine()
    results = compare(
        checkouts,
        options.only,
        options.rounds,
        lambda name, checkout: MEASUREMENTS[name].measure(checkout, options.device, options.scale),
    )
    source = {
        "command": " ".join(["python", "benchmarks/checkouts/before_after.py", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": begun,
        "commits": {"before": commit(checkouts[0]), "after": commit(checkouts[1])},
    }
    kept = json.loads(options.out.read_text())["results"] if options.out.exists() else {}
    measured = {name: {**each, **source} for name, each in results.items()}
    ordered = {name: {**kept, **measured}[name] for name in MEASUREMENTS if name in {**kept, **measured}}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"results": ordered}, indent=2) + "\n")
    print(table(results))
    print(f"\nwritten to {options.out}", file=sys.stderr)
    slower = [name for name, each in results.items() if each["ratio"] < options.least]
    if slower:
        print(f"slower by more than {1 - options.least:.0%}: {', '.join(slower)}", file=sys.stderr)
    return int(bool(slower))


if __name__ == "__main__":
    raise SystemExit(main())
