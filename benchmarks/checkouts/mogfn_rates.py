"""Updates per second of MOGFN on molecules and strings, by two checkouts of this library in turns.

    git worktree add ../before COMMIT
    python benchmarks/checkouts/mogfn_rates.py ../before .
    python benchmarks/checkouts/mogfn_rates.py ../before . --core 0 --rounds 5
    python benchmarks/checkouts/mogfn_rates.py --show benchmarks/results/mogfn_rates.json

Settings are the published ones (`--preset paper`). Each measurement is a process of its own: it compiles, and then
runs --updates updates from fresh parameters. "network" is the same task with every objective 0.5, so that no oracle is
waited for; "whole" asks the oracle. CPU seconds count beside wall time, as other work slows a shared machine; `--core`
pins each process to one core. Medians over the rounds are compared.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "mogfn_rates.json"
TASKS = {"molecules": "molecules-v0", "strings": "dna-folding-v0"}
FIGURES = ("wall", "cpu", "compile")


def measure(task: str, oracle: bool, updates: int) -> dict[str, float]:
    """Train and return the seconds of an update by wall and by CPU time, and those of compiling."""
    import jax
    import jax.numpy as jnp

    import morl
    from morl.agents.mogfn import MOGFN, MOGFNConfig
    from morl.agents.mogfn.presets import protocol
    from morl.constructive.backend import SamplerBackend

    env: Any = morl.make(TASKS[task], "jax")
    if not oracle:

        class WithoutOracle(type(env)):  # type: ignore[misc]
            """Task whose objects are all worth the same."""

            def values(self, states: Any, params: Any) -> jax.Array:
                return jnp.full((len(states.done), 3), 0.5, jnp.float32)

        env = WithoutOracle()
    known = {field.name for field in fields(MOGFNConfig)}
    config = MOGFNConfig(**{name: value for name, value in protocol(TASKS[task]).items() if name in known})
    backend = SamplerBackend(MOGFN(config, env, updates), 1, block=1, gamma=1.0)
    state = backend.init([jax.random.key(0)])
    started = time.perf_counter()
    state, _ = backend.run(state, 1)
    compiled = time.perf_counter() - started
    clocks = time.perf_counter(), time.process_time()
    backend.run(state, updates)
    wall, cpu = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    return {"wall": wall / updates, "cpu": cpu / updates, "compile": compiled}


def child(checkout: Path, task: str, oracle: bool, updates: int, core: int | None) -> dict[str, float]:
    """Measure one checkout in a process of its own.

    Raises:
        SystemExit: it failed; with what it said.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout), "JAX_ENABLE_COMPILATION_CACHE": "0"}
    arguments = [sys.executable, __file__, "--child", task, "oracle" if oracle else "network", str(updates)]
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, preexec_fn=pin, check=False)
    if done.returncode:
        raise SystemExit(f"{checkout}: ended with {done.returncode}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(checkouts: tuple[Path, Path], options: argparse.Namespace) -> dict[str, Any]:
    """Measure in turns; return every round, the medians and their ratios."""
    names = [f"{task}, {kind}" for task in options.tasks for kind in ("network", "whole")]
    found: dict[str, tuple[list[Any], list[Any]]] = {name: ([], []) for name in names}
    for index in range(options.rounds):
        for name in names:
            task, kind = name.split(", ")
            for which in (0, 1) if index % 2 == 0 else (1, 0):
                row = child(checkouts[which], task, kind == "whole", options.updates, options.core)
                found[name][which].append(row)
                print(f"round {index + 1}, {name}, {('before', 'after')[which]}: {row}", file=sys.stderr, flush=True)
    results = {}
    for name, rows in found.items():
        before, after = ({x: statistics.median(row[x] for row in each) for x in FIGURES} for each in rows)
        ratio = {figure: round(before[figure] / after[figure], 2) for figure in FIGURES}
        results[name] = {"before": before, "after": after, "ratio": ratio, "rounds": rows}
    return results


def table(results: dict[str, Any]) -> str:
    """Return the medians in Markdown."""
    lines = [
        "| | updates/s before | after | faster by | by CPU time | compiling, s before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in results.items():
        before, after, ratio = each["before"], each["after"], each["ratio"]
        rates = f"{1 / before['wall']:.2f} | {1 / after['wall']:.2f} | {ratio['wall']:.1f} | {ratio['cpu']:.1f}"
        lines.append(f"| {name} | {rates} | {before['compile']:.0f} | {after['compile']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        task, kind, updates = sys.argv[2:]
        print(json.dumps(measure(task, kind == "oracle", int(updates))))
        return
    from before_after import commit, machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="checkout")
    parser.add_argument("after", type=Path, nargs="?", help="checkout")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of a result, and measure nothing")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--core", type=int, help="the one core to run on")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.show:
        print(table(json.loads(options.show.read_text())["results"]))
        return
    if options.after is None:
        parser.error("give two checkouts, or --show and a result")
    begun = machine()
    checkouts = options.before.resolve(), options.after.resolve()
    results = compare(checkouts, options)
    source = {
        "command": " ".join(["python", "benchmarks/checkouts/mogfn_rates.py", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": begun,
        "commits": {"before": commit(checkouts[0]), "after": commit(checkouts[1])},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**source, "results": results}, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
