"""C-MORL beside morl-baselines' agents, run in turns here: each has the time that the morl command took.

    python benchmarks/cmorl_peers.py --peer-python PY                # all cases, 3 seeds each
    python benchmarks/cmorl_peers.py --peer-python PY deep minecart  # those whose name has one of these

PY is an interpreter that has morl-baselines (benchmarks/peers/README.md). Everything runs on one core with one thread.
Seconds are the core's own (user and system): what wall-clock is when nothing else runs there, and the same for all when
something does. morl's are those of the whole command, start of Python and compilation included; a peer's start with
its first step. The table is printed after each seed.
Fronts are re-evaluated on fresh greedy episodes with the same discount and reference point; a peer's is that of
spread preferences, or of the policies it keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmorl import CASES, Result, one_run, reference_hypervolume

HERE = Path(__file__).parent
DISCRETE, CONTINUOUS = ("gpi-ls", "envelope"), ("pgmorl", "capql", "gpi-ls-continuous")
# preferences and episodes of each to evaluate a peer by: one episode where nothing is random, few where they are long
EVALUATED = {
    "deep-sea-treasure": (100, 1),
    "deep-sea-treasure, concave": (100, 1),
    "fruit-tree, depth 6": (100, 1),
    "resource-gathering": (50, 10),
    "minecart, 500 000 steps": (20, 5),
    "mo-lunar-lander": (20, 5),
    "mo-hopper-2obj, a quarter of the steps": (20, 5),
    "mo-ant-2obj, a quarter of the steps": (20, 5),
}
HEADER = """
| case | program | share of the known or published volume | tight | s | steps | steps/s | all of morl's steps take |
|---|---|---|---|---|---|---|---|"""


@dataclass
class Runs:
    """Results of a program, one per seed; ``fault`` is the error of a run that ended without a result."""

    shares: list[float] = field(default_factory=list)
    tight: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    fault: str = ""

    def add(self, share: float, tight: float, seconds: float, steps: float) -> None:
        """Add the result of one more seed."""
        self.tight.append(tight)
        self.shares.append(share)
        self.seconds.append(seconds)
        self.steps.append(steps)

    def row(self, case: str, program: str, budget: int) -> str:
        """Return a row of the table; its last column is the time that ``budget`` steps take at this rate."""
        if self.fault:
            return f"| {case} | {program} | fails: `{self.fault}` | | | | | |"
        share, tight = spread(self.shares), spread(self.tight)
        rate = sum(self.steps) / sum(self.seconds)
        seconds, steps = statistics.median(self.seconds), statistics.median(self.steps)
        return (
            f"| {case} | {program} | {share} | {tight} | {seconds:.0f} | {steps:,.0f} | {rate:,.0f} "
            f"| {duration(budget / rate)} |"
        )


def spread(values: list[float]) -> str:
    """Return the median, and lowest and highest of more than one, as text."""
    text = f"{statistics.median(values):.3f}"
    return f"{text} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else text


def tight_share(ours: Result, returns: list[list[float]]) -> float:
    """Return a peer's hypervolume at the tight reference point, as a share of the known front's; NaN without one."""
    from morl.yardsticks.coverage import hypervolume_tight

    return float("nan") if ours.known is None else hypervolume_tight(returns, ours.known.points)[0]


def duration(seconds: float) -> str:
    """Return a duration as text, in hours, minutes or seconds."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def peers_of(flags: dict[str, list[str]]) -> tuple[str, ...]:
    """Return the names of the peers that support the action space of these flags' environment."""
    import gymnasium

    import morl

    space = morl.make(flags["--env"][0]).action_space
    return DISCRETE if isinstance(space, gymnasium.spaces.Discrete) else CONTINUOUS


def parsed(flags: str) -> dict[str, list[str]]:
    """Return the values of each flag of a case; of a flag given twice, the last ones."""
    values: dict[str, list[str]] = {}
    flag = "--env"
    for word in (flag, *flags.split()):
        if word.startswith("--"):
            flag = word
            values[flag] = []
        else:
            values[flag].append(word)
    return values


def peer_command(name: str, case: str, ours: Result, seconds: float, seed: int) -> list[str]:
    """Return the script and flags that train a peer for ``seconds`` of one core on the task of our run."""
    flags = parsed(CASES[case])
    preferences, episodes = EVALUATED[case]
    command = ["--env", flags["--env"][0], "--seconds", str(seconds), "--clock", "core"]
    command += ["--threads", "1", "--seed", str(seed)]
    if name == "pgmorl":  # its discount, reference point and time limit are the case's
        return [str(HERE / "peers" / "run_pgmorl.py"), *command]
    command += ["--gamma", str(ours.gamma), "--reference-point", *map(str, ours.reference_point)]
    command += ["--eval-every", str(2 * seconds), "--eval-preferences", str(preferences)]
    command += ["--eval-episodes", str(episodes)]
    if "--env-kwargs" in flags:
        key, value = flags["--env-kwargs"]
        command += [f"--{key.replace('_', '-')}", value]
    return [str(HERE / "peers" / "run_peer.py"), name, *command]


def core_seconds() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def reached(result: dict[str, Any]) -> tuple[float, float, float]:
    """Return hypervolume, seconds and steps of a peer's JSON."""
    if "history" in result:
        last = result["history"][-1]
        return last["hypervolume"], last["seconds"], last["steps"]
    return result["hypervolume_greedy"], result["seconds"], result["steps"]


def run_peer(python: str, command: list[str]) -> dict[str, Any] | str:
    """Run a peer and return its JSON, or the exception or signal that it ended with."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "peer.json"
        done = subprocess.run([python, "-W", "ignore", *command, "--out", str(out)], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr, flush=True)  # the table shows only its last line
        if done.returncode < 0:  # no exception: killed, or crashed
            return f"ended by {signal.Signals(-done.returncode).name}"
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def beside(case: str, python: str, seed: int, runs: dict[str, Runs]) -> None:
    """Add a run of morl and one of each peer."""
    flags = parsed(CASES[case])
    alone = ["--processes", "0"] if "--processes" in flags else []  # there is one core
    before = core_seconds()
    ours = one_run("--env", *CASES[case].split(), *alone, "--seed", str(seed))
    given = core_seconds() - before
    true = reference_hypervolume(case, ours)
    share = ours.hypervolume / true
    tight = ours.coverage["hypervolume_tight"]
    runs["morl"].add(share, tight, given, budget(case))
    print(*ours.protocol, sep="\n")
    print(
        f"{case}, seed {seed}: morl {share:.4g}, tight {tight:.4g} in {given:.1f} s ({ours.seconds:.1f} by the clock)",
        flush=True,
    )
    for name in peers_of(flags):
        result = run_peer(python, peer_command(name, case, ours, given, seed))
        if isinstance(result, str):
            runs[name].fault = result
            print(f"  {name} fails: {result}", flush=True)
        else:
            hypervolume, seconds, steps = reached(result)
            tight = tight_share(ours, result["returns"])
            runs[name].add(hypervolume / true, tight, seconds, steps)
            print(
                f"  {name} {hypervolume / true:.4g}, tight {tight:.4g} with {steps} steps in {seconds:.1f} s",
                flush=True,
            )


def budget(case: str) -> int:
    """Return the steps of the morl command."""
    return int(parsed(CASES[case])["--steps"][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=[""], help="parts of cases' names")
    parser.add_argument("--peer-python", required=True, help="interpreter that has morl-baselines")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # what is started from here inherits it
    runs: dict[str, dict[str, Runs]] = {
        case: defaultdict(Runs) for case in EVALUATED if any(part in case for part in args.cases)
    }
    if not runs:
        parser.error(f"no such case; there are: {'; '.join(EVALUATED)}")
    for seed in range(args.first_seed, args.first_seed + args.seeds):  # in turns, as the speed of a machine changes
        for case, of_case in runs.items():
            beside(case, args.peer_python, seed, of_case)
        print(HEADER)
        for case, of_case in runs.items():
            for i, (name, each) in enumerate(of_case.items()):
                print(each.row("" if i else case, name, budget(case)), flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
