"""The rules of a scenario of the offloading suite, and the one that fits what you can spend.

Every scenario has rules that do not learn: all tasks to the cloud, a random server, the least loaded one, and the
weighted best now. The script prints their fronts on the same episodes, and of all policies the fastest one whose energy
is within a limit, which is what a learned policy has to beat::

    python offloading_suite.py                                  # bursts of tasks
    python offloading_suite.py --scenario mec-failures-v0 --energy 12
    python offloading_suite.py --quick                          # two rules and few episodes, under a minute
"""

from __future__ import annotations

import argparse

import numpy as np

import morl
from morl.envs.offloading import schemes

SCENARIOS = ("mec-bursty-v0", "mec-trace-v0", "mec-failures-v0", "mec-dag-v0")  # of delay and energy


def within(points: np.ndarray, energy: float) -> int | None:
    """Return the row of the least delay among points (n, 2) of at most so much energy; None if there is none."""
    allowed = np.flatnonzero(points[:, 1] <= energy)
    return int(allowed[np.argmin(points[allowed, 0])]) if len(allowed) else None


def main() -> None:
    """Find the fronts of all rules, and choose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=SCENARIOS, default=SCENARIOS[0])
    parser.add_argument("--energy", type=float, help="J an episode may take; by default the mean of all policies")
    parser.add_argument("--quick", action="store_true", help="two rules, 8 episodes of three preferences")
    args = parser.parse_args()
    env = morl.make(args.scenario)
    episodes = 8 if args.quick else 128

    rules = schemes.catalogue(env, 3 if args.quick else 11)
    if args.quick:
        rules = {name: rules[name] for name in ("least loaded", "greedy")}  # each compiles for some seconds

    names, points = [], []
    print(f"{args.scenario}, {episodes} episodes of each policy")
    for rule, entry in rules.items():
        costs = -schemes.front(env, entry, episodes=episodes).undiscounted
        names += [rule] * len(costs)
        points.append(costs)
        fast, thrifty = costs[costs[:, 0].argmin()], costs[costs[:, 1].argmin()]
        ends = " to ".join(f"{delay:.1f} s, {energy:.2f} J" for delay, energy in (fast, thrifty))
        print(f"  {rule:13} {len(costs):2} on its front: {ends}")
    found = np.concatenate(points)
    limit = found[:, 1].mean() if args.energy is None else args.energy
    row = within(found, limit)
    if row is None:
        print(f"no rule takes {limit:g} J or less; the least is {found[:, 1].min():.2f} J")
    else:
        print(f"at most {limit:.2f} J: {names[row]}, {found[row, 0]:.1f} s and {found[row, 1]:.2f} J an episode")


if __name__ == "__main__":
    main()
