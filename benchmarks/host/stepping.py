"""Steps a second of MuJoCo's robots, beside MO-Gymnasium's own vector environment and another checkout of this library.

    git worktree add ../before COMMIT
    python benchmarks/host/stepping.py --before ../before
    python benchmarks/host/stepping.py mo-ant-v5 --num-envs 12
    python benchmarks/host/stepping.py --show              # the table of the kept results

All step the same number of environments by the same random actions, episodes that start over and all, each in a process
of its own: MO-Gymnasium's ``MOSyncVectorEnv``; the other checkout as it comes; this one in one thread, as it comes, and
in a worker process for each core. They take turns in an order that rotates, and ratios are of turns of the same round.
A round in which others took more of the machine than ``turns.py`` allows is kept, and only its CPU time counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "checkouts"))
from before_after import commit, machine
from turns import LEAST, turn

HERE = Path(__file__).parent
ROBOTS = ("mo-hopper-v5", "mo-halfcheetah-v5", "mo-walker2d-v5", "mo-swimmer-v5", "mo-ant-v5", "mo-humanoid-v5")
OURS = Path(__file__).parents[2]
PEER = "mo-gymnasium"
COLUMNS = (PEER, "before", "one thread", "threads", "processes")


class Contender:
    """Environments of ``stepper.py`` in a process."""

    def __init__(self, id: str, number: int, how: str, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "stepper.py"), id, str(number), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        self._pids: list[int] | None = None

    def step(self, seconds: float) -> dict[str, float]:
        """Step for so many seconds; return steps/s and the times of the turn."""
        assert self._process.stdin is not None
        self.wait()
        with turn(self._pids or ()) as times:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
            steps, cpu = self._read()
        if len(self._pids or ()) == 1:
            times.cpu = cpu  # the kernel's count for others is coarse
        return {"rate": steps / times.seconds, "cpu_us": times.cpu / steps * 1e6, **asdict(times)}

    def wait(self) -> None:
        """Wait until the environments are there."""
        if self._pids is None:
            self._pids = self._read()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} has ended")  # type: ignore[arg-type]
        return json.loads(line)


def measure(id: str, number: int, before: Path | None, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Return the turns of each round by contender."""
    cores = len(os.sched_getaffinity(0))
    contenders = {PEER: ("peer", OURS)}
    if before is not None:
        contenders["before"] = "{}", before
    contenders["one thread"] = '{"threads": 1}', OURS
    contenders["threads"] = "{}", OURS
    contenders["processes"] = json.dumps({"processes": min(cores, number)}), OURS
    found = []
    with ExitStack() as stack:
        running = {name: Contender(id, number, *how) for name, how in contenders.items()}
        for each in running.values():
            stack.callback(each.close)
        for each in running.values():
            each.step(seconds / 4)
        names = list(running)
        for i in range(rounds):
            order = names[i % len(names) :] + names[: i % len(names)]
            taken = {name: running[name].step(seconds) for name in order}
            found.append(taken)
            others = max(each["others"] for each in taken.values())
            rates = ", ".join(f"{name} {taken[name]['rate']:,.0f}" for name in names)
            print(f"{id}, round {i + 1}: {rates} steps/s; others took up to {others:.2f} cores", file=sys.stderr)
    return found


def table(results: dict[str, Any]) -> str:
    """Return in Markdown, beside MO-Gymnasium: steps/s over the undisturbed rounds, and steps a CPU second over all."""
    lines = [
        "| environment | environments | MO-Gymnasium, steps/s | before | one thread | threads | processes | rounds "
        "| steps a CPU second: before | one thread | threads | processes | rounds |",
        "|" + "---|" * 13,
    ]
    for each in results.values():
        calm = [taken for taken in each["rounds"] if max(one["others"] for one in taken.values()) <= LEAST]
        ours = [name for name in COLUMNS if name != PEER]
        peer = f"{statistics.median(taken[PEER]['rate'] for taken in calm):,.0f}" if calm else "-"
        cells = [each["env"], each["num_envs"], peer, *(ratio(calm, name, "rate") for name in ours), len(calm)]
        cells += [*(ratio(each["rounds"], name, "cpu_us", -1) for name in ours), len(each["rounds"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def ratio(rounds: list[dict[str, Any]], name: str, what: str, power: int = 1) -> str:
    """Return the median of a contender's ratios to the peer as text, to a power; a dash where there is none."""
    found = [(taken[name][what] / taken[PEER][what]) ** power for taken in rounds if name in taken]
    return f"{statistics.median(found):.2f}" if found else "-"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("robots", nargs="*", default=ROBOTS, help="ids of environments; by default all")
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--num-envs", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a turn")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "host_stepping.json")
    parser.add_argument("--show", action="store_true", help="print the table of the kept results, and measure nothing")
    options = parser.parse_args()
    results = json.loads(options.out.read_text())["results"] if options.out.exists() else {}
    before = options.before.resolve() if options.before else None
    for id in () if options.show else options.robots:
        rounds = measure(id, options.num_envs, before, options.rounds, options.seconds)
        results[f"{id}, {options.num_envs}"] = {
            "env": id,
            "num_envs": options.num_envs,
            "rounds": rounds,
            "command": "python benchmarks/host/stepping.py "
            + " ".join(sys.argv[1:]).replace(str(options.before), "../before"),
            "machine": machine(),
            "commits": {"before": before and commit(before), "after": commit(OURS)},
        }
        options.out.write_text(json.dumps({"results": results}, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
