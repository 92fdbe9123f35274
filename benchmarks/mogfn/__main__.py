"""MOGFN: how exactly it samples, the fronts it finds beside other methods' at equal oracle calls, and its speed.

    python benchmarks/mogfn grid                            # exact distances on the hypergrid
    python benchmarks/mogfn grid --case "H=8" --seeds 1     # cases whose name has this in it
    python benchmarks/mogfn fronts                          # fronts on the hypergrid of 32 x 32
    python benchmarks/mogfn bigrams                         # three bigrams with the published settings
    python benchmarks/mogfn bigrams --updates 2000 --set learning_rate 1e-3 log_z_learning_rate 1e-2
    python benchmarks/mogfn dna --calls 20000 --samples 32 --store    # and molecules: stored in results/mogfn.json
    python benchmarks/mogfn show dna --calls 20000          # the table of stored runs
    python benchmarks/mogfn why --policies DIR              # why plain MOGFN loses on DNA
    python benchmarks/mogfn speed --gfnx .venv-gfnx/bin/python --torchgfn .venv-torchgfn/bin/python

grid: the learnt policy's distribution is found by dynamic programming over the grid and the target by enumeration, for
11 preferences (0, 1), (0.1, 0.9), ..., (1, 0): L1 is Σ|p̂ − p| averaged over them, and |Δ log Z| the largest. Each
number is of the state at the end of a run, whose learning rates fall over exactly its steps.

The others draw 128 objects for each preference of a lattice, or as many as ``--samples`` says; of several numbers, each
has its row, from the same run of a method that samples. Objects "drawn" are these, and "all" are all that the oracle
was called with, those of training too. HV is of the best of each preference, "HV of all" of all of them; the reference
point is 0. Top-10 are the best 10 different ones by the weighted sum (of those drawn, 10 that may repeat): their mean
reward and how far apart they are in pairs (Levenshtein; molecules: 1 − Tanimoto), both averaged over preferences. All
methods have the same number of oracle calls, one for each object built, known or not: those of training and of the
draws, which the searches have on top of theirs. Seconds are of training or search, without compilation where there is
one, and with the oracle's. Seeds from 100 on were for choosing settings; tables leave them out.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import comparison  # noqa: E402
from drawing import SAMPLES  # noqa: E402


def parser() -> argparse.ArgumentParser:
    lines = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = lines.add_subparsers(dest="command", required=True)
    command = commands.add_parser("grid", help="exact distances on the hypergrid")
    command.add_argument("--case", default="", help="part of a case's name, such as 'H=8' or 'beta=8'")
    command.add_argument("--seeds", type=int, default=3)
    command = commands.add_parser("fronts", help="fronts on the 32 x 32 hypergrid")
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--updates", type=int, default=5000)
    command.add_argument("--beta", type=float, default=8.0)
    for name, plan in comparison.COMPARISONS.items():
        command = commands.add_parser(name, help=f"{plan.env} beside the baselines")
        command.add_argument("--seeds", type=int, default=3)
        command.add_argument("--first-seed", type=int, default=0)
        command.add_argument("--updates", type=int, default=plan.updates)
        command.add_argument("--calls", type=int, default=0, help="oracle calls in all, in place of --updates")
        command.add_argument("--divisions", type=int, default=plan.divisions, help="of the lattice of preferences")
        command.add_argument("--population", type=int, default=plan.population, help="of NSGA-II")
        command.add_argument("--samples", type=int, nargs="+", default=[SAMPLES], help="draws for each preference")
        command.add_argument("--methods", nargs="+", choices=comparison.METHODS, default=comparison.METHODS)
        command.add_argument("--set", nargs="+", default=[], help="settings of MOGFN, each a name and a value")
        command.add_argument("--guide", nargs="+", default=[], help="settings of the guided sampler, likewise")
        command.add_argument("--store", action="store_true", help="store runs in benchmarks/results/mogfn.json")
        command.add_argument("--policies", type=Path, help="directory to keep trained policies in, for why")
    command = commands.add_parser("show", help="a table of stored runs")
    command.add_argument("task", choices=list(comparison.COMPARISONS))
    command.add_argument("--calls", type=int, required=True)
    command = commands.add_parser("why", help="what is behind the fronts on DNA of samplers that were trained")
    command.add_argument("--policies", type=Path, help="directory that dna kept them in; without it, stored figures")
    command.add_argument(
        "--methods", nargs="+", default=["mogfn", "guided"], help="the last has the best known strands"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--calls", type=int, default=20_000, help="of the comparison, to say so")
    command.add_argument("--steps", type=int, default=1000, help="of the target's chains")
    command.add_argument("--kept", type=int, default=32, help="states of each chain")
    command = commands.add_parser("speed", help="the unconditional part beside gfnx and torchgfn")
    command.add_argument("--gfnx", help="Python with gfnx 0.0.1")
    command.add_argument("--torchgfn", help="Python with torchgfn")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--updates", type=int, default=500, help="of a round")
    return lines


def main() -> None:
    a = parser().parse_args()
    if a.command == "grid":
        import grids

        grids.grid(a.case, a.seeds)
    elif a.command == "fronts":
        import grids

        grids.fronts(a.seeds, a.updates, a.beta)
    elif a.command == "show":
        import results

        results.show(comparison.COMPARISONS[a.task].env, a.calls)
    elif a.command == "speed":
        import speed

        speed.speed(a.gfnx, a.torchgfn, a.rounds, a.updates)
    elif a.command == "why":
        import why

        if a.policies:
            plan = dataclasses.replace(comparison.COMPARISONS["dna"], calls=a.calls)
            why.why(plan, a.policies, a.seed, a.steps, a.kept, tuple(a.methods))
        why.show()
    else:
        plan = comparison.COMPARISONS[a.command]
        settings, guided = comparison.changed(plan.mogfn, a.set), comparison.changed(plan.guided, a.guide)
        names = ("updates", "divisions", "population", "calls", "store")
        plan = dataclasses.replace(plan, **{name: getattr(a, name) for name in names}, mogfn=settings, guided=guided)
        comparison.compare(plan, a.methods, range(a.first_seed, a.first_seed + a.seeds), a.samples, a.policies)


if __name__ == "__main__":
    main()
