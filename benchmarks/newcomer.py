"""Waiting times of a new user: install, train and report in a fresh virtual environment; start-up of commands.

    python benchmarks/newcomer.py             # makes a virtual environment in a temporary folder; about 2 minutes
    python benchmarks/newcomer.py --start-up  # only start-up, with the Python that runs this
    python benchmarks/newcomer.py --repeats 21

Path: `python -m venv`, `pip install` of the checkout without extras (with whatever pip has in its cache, and again with
none with --no-pip-cache), then the commands of the quickstart, each in a process of its own. Start-up: wall-clock of a
whole process, medians. "first": the first time after the installation, when Python writes its bytecode; "warm": the
ones after that, with files in the page cache. Nothing here empties the page cache, so no start is as cold as after a
reboot.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_UP = {
    "python -c pass": ["-c", "pass"],
    "import morl": ["-c", "import morl"],
    "import morl; morl.train": ["-c", "import morl; morl.train"],
    "morl --help": ["-m", "morl", "--help"],
    "morl envs": ["-m", "morl", "envs"],
    "morl agents": ["-m", "morl", "agents"],
    "morl train cmorl --help": ["-m", "morl", "train", "cmorl", "--help"],
}
TRAIN = "train cmorl --env deep-sea-treasure-v0 --steps 200000 --reference-point 0 -25 --out {run}"
LOOK = {"front": "front {run}", "report": "report {run}"}


def seconds(command: Sequence[str | Path], cwd: Path | None = None) -> float:
    """Return the wall-clock seconds of a process.

    Raises:
        SystemExit: it failed; with what it said.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if cwd is None:  # this script's checkout, whatever is installed
        env["PYTHONPATH"] = str(ROOT)
    start = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return taken


def path_of_a_newcomer(folder: Path, pip_cache: bool) -> tuple[Path, dict[str, float]]:
    """Return the Python of a new virtual environment, and the seconds of each step."""
    venv, run = folder / "venv", folder / "run"
    python = venv / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", ROOT]
    taken = {
        "make a virtual environment": seconds([sys.executable, "-m", "venv", venv], folder),
        "install": seconds([*install, *([] if pip_cache else ["--no-cache-dir"])], folder),
    }
    first = {name: seconds([python, *arguments], folder) for name, arguments in START_UP.items()}
    taken |= {f"{name}, first": s for name, s in first.items() if name in ("morl --help", "import morl; morl.train")}
    taken["train"] = seconds([python, "-m", "morl", *TRAIN.format(run=run).split()], folder)
    for name, command in LOOK.items():
        taken[name] = seconds([python, "-m", "morl", *command.format(run=run).split()], folder)
    return python, taken


def start_up(python: str | Path, repeats: int, cwd: Path | None) -> dict[str, tuple[float, float]]:
    """Return median and slowest of ``repeats`` starts of each command, in turns, as the machine's speed changes."""
    taken: dict[str, list[float]] = {name: [] for name in START_UP}
    for _ in range(repeats + 1):
        for name, arguments in START_UP.items():
            taken[name].append(seconds([python, *arguments], cwd))
    return {name: (statistics.median(times[1:]), max(times[1:])) for name, times in taken.items()}


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11, help="warm starts of each command")
    parser.add_argument("--start-up", action="store_true", help="no virtual environment: this Python, this checkout")
    parser.add_argument("--no-pip-cache", action="store_true", help="download everything anew")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        folder = Path(name)
        if args.start_up:
            python, cwd = Path(sys.executable), None
        else:
            python, taken = path_of_a_newcomer(folder, not args.no_pip_cache)
            rows = [[step, f"{s:.1f}"] for step, s in taken.items()]
            whole = sum(s for step, s in taken.items() if not step.endswith(", first"))
            print_table(["step", "s"], [*rows, ["from nothing to a report", f"{whole:.0f}"]])
            cwd = folder
        found = start_up(python, args.repeats, cwd)
        rows = [[name, f"{1000 * median:.0f}", f"{1000 * most:.0f}"] for name, (median, most) in found.items()]
        print_table(["start", f"ms, warm, median of {args.repeats}", "slowest"], rows)


if __name__ == "__main__":
    main()
