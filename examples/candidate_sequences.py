"""Draw candidate sequences for three objectives: many different good ones for each of several preferences.

A string of 10 to 12 amino acids is worth how often AV, VC and CA are in it, as shares of the most. There is no room for
all of them, so they compete. MOGFN learns one sampler for all preferences; what is drawn is then a list to take to
the laboratory: the best of each preference, no string twice, and how different they are::

    python candidate_sequences.py            # about half a minute on two cores
    python candidate_sequences.py --quick    # a tenth of the training, to see that it runs
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import morl
from morl.agents.mogfn import MOGFNConfig
from morl.constructive.metrics import diversity
from morl.constructive.sampling import Candidates

WANTED = {
    "AV alone": (1.0, 0.0, 0.0),
    "AV and CA": (0.5, 0.0, 0.5),
    "all three": (1 / 3, 1 / 3, 1 / 3),
}
EACH = 8  # candidates of a preference


def train(out: Path, objects: int) -> Path:
    """Train a sampler on so many objects and return its run directory; β = 24 favours the best objects."""
    settings = morl.TrainSettings(
        env="ngrams-v0",
        env_kwargs={"lengths": "10,12"},
        steps=objects,
        out=out,
        evaluations=2,
        eval_episodes=32,
        final_episodes=64,
    )
    config = MOGFNConfig(beta=24.0, min_log_reward=-300.0, num_preferences=28)
    return morl.train("mogfn", settings, config).path


def candidates(run: Path, draws: int) -> Candidates:
    """Return the best distinct strings of so many draws for each preference."""
    return morl.sample(run, np.array(list(WANTED.values())), draws, seed=1).best(EACH)


def show(found: Candidates) -> None:
    """Print a line for each candidate, and the mean distance between those of a preference."""
    for name, weights in WANTED.items():
        mine = found.take(np.flatnonzero(np.isclose(found.preferences, weights, atol=1e-6).all(axis=1)))
        apart = diversity(mine.objects) if len(mine) > 1 else 0.0
        print(f"\n{name}: {len(mine)} candidates, on average {apart:.1f} edits apart")
        for text, values, reward in zip(mine.objects, mine.values, mine.rewards, strict=True):
            print(f"  {text:<12}  AV {values[0]:.2f}  VC {values[1]:.2f}  CA {values[2]:.2f}  worth {reward:.2f}")


def main() -> None:
    """Train, draw, show, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=128_000, help="objects that the training builds")
    parser.add_argument("--draws", type=int, default=256, help="objects drawn for each preference")
    parser.add_argument("--quick", action="store_true", help="a tenth of both")
    parser.add_argument("--out", type=Path, default=None, help="run directory, by default a temporary one")
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp(prefix="sequences-")) / "run"
    part = 10 if args.quick else 1
    found = candidates(train(out, args.objects // part), args.draws // part)
    show(found)
    path = out / "chosen.csv"
    path.write_text(found.to_csv())
    print(f"\nall of them, with how probable and how novel they are: {path}")


if __name__ == "__main__":
    main()
