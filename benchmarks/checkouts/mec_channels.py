"""Steps/s of the task-offloading simulator in two checkouts and in plain Python, on both channels, in turns.

    git worktree add ../before COMMIT
    python benchmarks/checkouts/mec_channels.py ../before .
    python benchmarks/checkouts/mec_channels.py --show benchmarks/results/mec_channels.json

Random actions, E = 6, observations and restarts included, as in ``benchmarks/mec.py speed``. Each checkout is a process
that compiles once, and so is the plain simulator (``benchmarks/peers/mec_python.py``), which runs the same channel.
They take turns, in another order each round. Wall time and CPU time of each turn are kept: a machine with other work to
do changes the first more than the second. Ratios are those of the medians. Cases of --only are put beside those that
the file of results has already. Exit code 1 if the physical channel is below
--least times as fast as before, or the default channel below 0.95, each by CPU time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from before_after import BENCHMARKS, commit, machine

CHANNELS, BATCHES = ("high_rate", "physical"), (64, 512)
CASES = {f"{channel}, batch {batch}": (channel, batch) for channel in CHANNELS for batch in BATCHES}
STEPS = 25_600  # of a turn; fewer in plain Python

# Compiles every case, prints the seconds, and then runs the case named by each line of its input.
WORKER = """
import json, sys, time
import mec

cases, steps, plain = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "plain"
runs, compiled_in = {}, {}
for name, (channel, batch) in cases.items():
    if plain:
        runs[name] = mec.python_steps(channel=channel)
    else:
        runs[name], compiled_in[name] = mec.our_steps(6, batch, steps=steps, channel=channel)
print(json.dumps(compiled_in), flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    taken = runs[line.strip()]()
    print(json.dumps([taken / (time.perf_counter() - wall), taken / (time.process_time() - cpu)]), flush=True)
"""


class Worker:
    """Process that runs the cases with the library of a checkout, or in plain Python."""

    def __init__(self, checkout: Path, names: list[str], plain: bool = False) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"},
            "PYTHONPATH": os.pathsep.join(map(str, (checkout, BENCHMARKS))),
            "JAX_ENABLE_COMPILATION_CACHE": "0",
        }
        arguments = [json.dumps({name: CASES[name] for name in names}), str(STEPS), "plain" if plain else "compiled"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
            cwd=checkout,  # which comes before PYTHONPATH
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.compiled_in: dict[str, float] = self._answer()

    def measure(self, name: str) -> tuple[float, float]:
        """Run a case; return its steps a second and its steps a second of CPU time."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        wall, cpu = self._answer()
        return wall, cpu

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with {self.process.wait()}")
        return json.loads(line)


def compare(checkouts: tuple[Path, Path], names: list[str], rounds: int) -> dict[str, Any]:
    """Measure in turns; return steps a second of wall and of CPU time, and seconds of compilation, by case."""
    workers = {who: Worker(checkout, names) for who, checkout in zip(("before", "after"), checkouts, strict=True)}
    workers["plain"] = Worker(checkouts[1], names, plain=True)
    found: dict[str, Any] = {name: {who: {"wall": [], "cpu": []} for who in workers} for name in names}
    for index in range(rounds):
        for name in names:
            order = list(workers) if index % 2 == 0 else list(workers)[::-1]
            for who in order:
                for clock, rate in zip(("wall", "cpu"), workers[who].measure(name), strict=True):
                    found[name][who][clock].append(round(rate, 1))
            rates = ", ".join(f"{who} {found[name][who]['cpu'][-1]:,.0f}" for who in workers)
            print(f"round {index + 1}, {name}: {rates} steps/CPU-s", file=sys.stderr, flush=True)
    for who in ("before", "after"):
        for name, seconds in workers[who].compiled_in.items():
            found[name][who]["compiled_in"] = round(seconds, 2)
    return found


def ratio(each: dict[str, Any], first: str, second: str, clock: str) -> float:
    """Return the ratio of the medians of two, above 1 where the second is faster."""
    return statistics.median(each[second][clock]) / statistics.median(each[first][clock])


def table(results: dict[str, Any]) -> str:
    """Return the medians in Markdown."""
    lines = [
        "| channel, batch | steps/s: before | after | ratio | a CPU-s: before | after | ratio "
        "| plain Python, same channel: steps/s | after / plain | compiled in, s: before | after |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, each in results.items():
        cells = [name]
        for clock in ("wall", "cpu"):
            cells += [f"{statistics.median(each[who][clock]):,.0f}" for who in ("before", "after")]
            cells.append(f"{ratio(each, 'before', 'after', clock):.2f}")
        cells.append(f"{statistics.median(each['plain']['wall']):,.0f}")
        cells.append(f"{ratio(each, 'plain', 'after', 'wall'):.0f}")
        cells += [f"{each[who]['compiled_in']:.1f}" for who in ("before", "after")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="checkout")
    parser.add_argument("after", type=Path, nargs="?", help="checkout")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of a result, and measure nothing")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each, at most 15")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE")
    parser.add_argument("--least", type=float, default=2.5, help="ratio of the physical channel below which this fails")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "results" / "mec_channels.json")
    options = parser.parse_args()
    if options.show:
        print(table(json.loads(options.show.read_text())["results"]))
        return 0
    if options.after is None:
        parser.error("give two checkouts, or --show and a result")
    if not 1 <= options.rounds <= 15:
        parser.error(f"--rounds must be from 1 to 15, not {options.rounds}")
    checkouts = options.before.resolve(), options.after.resolve()
    source = {
        "command": " ".join(["python", "benchmarks/checkouts/mec_channels.py", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commits": {"before": commit(checkouts[0]), "after": commit(checkouts[1])},
    }
    results = compare(checkouts, options.only, options.rounds)
    kept = json.loads(options.out.read_text())["results"] if options.out.exists() else {}
    known = {**kept, **{name: {**each, **source} for name, each in results.items()}}
    ordered = {name: known[name] for name in CASES if name in known}
    options.out.write_text(json.dumps({"results": ordered}, indent=1) + "\n")
    print(table(results))
    print(f"\nwritten to {options.out}", file=sys.stderr)
    least = {"physical": options.least, "high_rate": 0.95}
    slow = [name for name, each in results.items() if ratio(each, "before", "after", "cpu") < least[CASES[name][0]]]
    if slow:
        print(f"too slow: {', '.join(slow)}", file=sys.stderr)
    return int(bool(slow))


if __name__ == "__main__":
    raise SystemExit(main())
