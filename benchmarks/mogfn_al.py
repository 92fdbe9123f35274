"""Sample efficiency: hypervolume over oracle calls of the three proposers of ``morl train mogfn-al``.

    python benchmarks/mogfn_al.py                                  # N-grams, seeds 0 to 2
    python benchmarks/mogfn_al.py --env dna-folding-v0 --rounds 10

All three start from the same random strings of each seed and label as many. The hypervolume is that of all strings
labelled so far; against the reference point 0 it is 0 until a string has all objectives above 0, so that a point a
little below is used (``--reference``). Seconds are those of a whole run, compilation included.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import morl
from morl.agents.mogfn_al import MOGFNALConfig
from morl.settings import SearchSettings

PROPOSERS = ("gflownet", "genetic", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="ngrams-v0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--round-size", type=int, default=16)
    parser.add_argument("--initial", type=int, default=64)
    parser.add_argument("--updates", type=int, default=MOGFNALConfig.updates)
    parser.add_argument("--proposers", nargs="+", choices=PROPOSERS, default=PROPOSERS)
    parser.add_argument("--reference", type=float, default=-0.05, help="of each objective")
    args = parser.parse_args()
    reference = (args.reference,) * len(morl.make(args.env).objectives)
    columns, diversity = {}, {}
    calls: list[int] = []
    for proposer in args.proposers:
        config = MOGFNALConfig(
            proposer=proposer,
            rounds=args.rounds,
            round_size=args.round_size,
            initial=args.initial,
            updates=args.updates,
        )
        volumes, distances = [], []
        for seed in range(args.seeds):
            with TemporaryDirectory() as folder:
                out, started = Path(folder) / "run", time.perf_counter()
                morl.train(
                    "mogfn-al", SearchSettings(env=args.env, seed=seed, out=out, reference_point=reference), config
                )
                seconds = time.perf_counter() - started
                if not volumes and not columns:
                    print(*morl.load(out).front.protocol.describe(), sep="\n")
                with (out / "metrics.csv").open() as file:
                    rows = list(csv.DictReader(file))
            calls = [int(row["step"]) for row in rows]
            volumes.append([float(row["hypervolume"]) for row in rows])
            distances.append(np.mean([float(row["batch_diversity"]) for row in rows[1:]]))
            print(f"{proposer} seed {seed}: hypervolume {volumes[-1][-1]:.5f}, {seconds:.0f} s", flush=True)
        columns[proposer], diversity[proposer] = np.array(volumes), np.array(distances)
    print(f"\nhypervolume against {args.reference:g}, mean (lowest to highest) of {args.seeds} seeds\n")
    print("| labels |", *(f"{name} |" for name in columns))
    print("|---|" + "---|" * len(columns))
    for i, call in enumerate(calls):
        each = (f"{v[:, i].mean():.4f} ({v[:, i].min():.4f} to {v[:, i].max():.4f}) |" for v in columns.values())
        print(f"| {call} |", *each)
    print("| mean distance within a batch |", *(f"{d.mean():.1f} |" for d in diversity.values()))


if __name__ == "__main__":
    main()
