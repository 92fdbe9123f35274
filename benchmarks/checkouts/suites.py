"""Time of the test suites of two checkouts on the same machine: did the cases that both have become slower?

    git worktree add ../before COMMIT
    python benchmarks/checkouts/suites.py ../before .
    python benchmarks/checkouts/suites.py --show benchmarks/results/suites.json

Runs what follows the installation in the README's test command in one checkout and then in the other, each with the
virtual environment that the command made there, with a plugin that notes the CPU time of every case. A case of the
first checkout is found in the second by its file, name and parameters, wherever the file lies now; else by name and
parameters alone, where that is unique in both. The CPU time of a case that is not found (renamed, or with other
parameters) counts in full for the second suite as well, so that a rename makes nothing look faster.

Prints a table in Markdown and writes it as JSON with the names of the cases that were not found. Exit code 1 if the
cases of the first checkout take more CPU time in the second, or if a suite fails.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from before_after import BENCHMARKS, commit, machine

Case = tuple[str, str]  # name of the file, name of the case with its class and parameters


def test_arguments(checkout: Path) -> list[str]:
    """Return the arguments of Python in the last part of the README's test command."""
    readme = (checkout / "README.md").read_text()
    found = re.search(r"<!-- test-command -->\s*```bash\n(.*?)\n```", readme, re.DOTALL)
    if found is None:
        raise SystemExit(f"{checkout}: README.md marks no test command")
    return found[1].split("&&")[-1].split()[1:]


def run(checkout: Path) -> dict[str, Any]:
    """Run the suite of a checkout; return its seconds, the last line of its output, and CPU seconds by case."""
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{checkout}: run the README's test command there first, it makes .venv")
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"},
            "PYTHONPATH": str(Path(__file__).parent),
            "CASE_TIMES": folder,
        }
        started = time.perf_counter()
        done = subprocess.run(
            [python, *test_arguments(checkout), "-p", "case_times"],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - started
        cases: dict[Case, float] = {}
        for path in Path(folder).glob("*.jsonl"):
            for line in path.read_text().splitlines():
                name, cpu, _ = json.loads(line)
                file, _, case = name.partition("::")
                cases[Path(file).name, case] = cases.get((Path(file).name, case), 0.0) + cpu
    print(f"{checkout}: {wall:.0f} s, {done.stdout.splitlines()[-1]}", file=sys.stderr, flush=True)
    return {"wall": wall, "code": done.returncode, "summary": done.stdout.splitlines()[-1], "cases": cases}


def pairs(before: dict[Case, float], after: dict[Case, float]) -> dict[Case, Case]:
    """Return the case of the second suite for each case of the first that is found there."""
    found = {case: case for case in before if case in after}
    names: tuple[dict[str, list[Case]], dict[str, list[Case]]] = defaultdict(list), defaultdict(list)
    for suite, by_name in zip((before, after), names, strict=True):
        for case in suite:
            by_name[case[1]].append(case)
    for name, (first, *more) in names[0].items():
        others = names[1].get(name, [])
        if first not in found and not more and len(others) == 1 and others[0] not in found:
            found[first] = others[0]
    return found


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what the two suites, and the cases of the first in the second, take."""
    found = pairs(before["cases"], after["cases"])
    lost = [case for case in before["cases"] if case not in found]
    return {
        "before": {key: before[key] for key in ("wall", "summary")},
        "after": {key: after[key] for key in ("wall", "summary")},
        "cases_before": len(before["cases"]),
        "cases_after": len(after["cases"]),
        "cpu_before": sum(before["cases"].values()),
        "cpu_after": sum(after["cases"].values()),
        "found": len(found),
        "cpu_found_before": sum(before["cases"][case] for case in found),
        "cpu_found_after": sum(after["cases"][case] for case in found.values()),
        "cpu_not_found": sum(before["cases"][case] for case in lost),
        "not_found": sorted("::".join(case) for case in lost),
    }


def table(result: dict[str, Any]) -> str:
    """Return the result in Markdown."""
    old = result["cpu_found_after"] + result["cpu_not_found"]
    rows = [
        ("the whole suite", "s", result["before"]["wall"], result["after"]["wall"]),
        ("the whole suite", "cases", result["cases_before"], result["cases_after"]),
        ("the whole suite", "CPU-s", result["cpu_before"], result["cpu_after"]),
        (f"the {result['found']} cases of both", "CPU-s", result["cpu_found_before"], result["cpu_found_after"]),
        (f"the {result['cases_before']} cases of the first", "CPU-s", result["cpu_before"], old),
    ]
    lines = ["| | unit | before | after | after / before |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {unit} | {a:.0f} | {b:.0f} | {b / a:.2f} |" for name, unit, a, b in rows]
    return "\n".join(lines)


def main() -> int:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="checkout")
    parser.add_argument("after", type=Path, nargs="?", help="checkout")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of a result, and run nothing")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "results" / "suites.json")
    options = parser.parse_args()
    if options.show:
        print(table(json.loads(options.show.read_text())))
        return 0
    if options.after is None:
        parser.error("give two checkouts, or --show and a result")
    checkouts = options.before.resolve(), options.after.resolve()
    source = {
        "command": " ".join(["python", "benchmarks/checkouts/suites.py", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commits": {"before": commit(checkouts[0]), "after": commit(checkouts[1])},
    }
    suites = [run(checkout) for checkout in checkouts]
    result = compare(*suites)
    options.out.write_text(json.dumps({**result, **source}, indent=2) + "\n")
    print(table(result))
    print(f"\nwritten to {options.out}", file=sys.stderr)
    slower = result["cpu_found_after"] + result["cpu_not_found"] > result["cpu_before"]
    return int(slower or any(suite["code"] for suite in suites))


if __name__ == "__main__":
    raise SystemExit(main())
