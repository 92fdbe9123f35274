"""Minecart's front at a tight reference point: what is attainable, by search, and what C-MORL fills of it.

    python benchmarks/fronts/minecart.py search          # MO-Gymnasium's front and what actions attain
    python benchmarks/fronts/minecart.py train           # every case, seeds 0 to 4, a process each
    python benchmarks/fronts/minecart.py train tuned     # one case
    python benchmarks/fronts/minecart.py show            # the table of what is kept

The tight reference point is the nadir of MO-Gymnasium's front less a tenth of its range in each objective. A search
goes step by step through the states that action sequences reach, and keeps of those in one cell (heading, speed, ore on
board, a square of ``CELL``) the one that burnt least. What it finds is attained by a sequence of actions: in the
deterministic district up to rounding; in the other one ore is what a dig gives on average, max(0, normal), cut off at
the capacity on average. What it misses may exist.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from morl.envs.classic import minecart
from morl.envs.classic.minecart import ACCELERATE, ACCELERATION, BASE_RADIUS, BRAKE, LEFT, MINE_RADIUS, NONE, RIGHT
from morl.ops.metrics import hypervolume, maximum_utility_loss
from morl.ops.pareto import non_dominated
from morl.yardsticks.coverage import tight_reference

Floats = NDArray[np.float64]
ENVS = ("minecart-deterministic-v0", "minecart-v0")
GAMMA, SUB_STEPS, STEPS, CELL, CAPACITY = 0.98, 4, 24, 0.04, 1.5
MOST_FUEL = 1.35  # beyond what MO-Gymnasium's front burns
PUBLISHED_REFERENCE = (-1.0, -1.0, -200.0)
CASES = {
    "defaults": "",
    "tuned": "--preset tuned",
    "tuned, 3M steps": "--preset tuned --steps 3000000",
    "tuned, first stage alone": "--preset tuned --variation-share 0",
    "tuned, with rounds of extension": "--preset tuned --extension ipo --extension-share 0.4",
    "tuned, archived by 16 episodes": "--preset tuned --variation-episodes 16",
}
RESULTS = Path(__file__).parents[1] / "results" / "minecart_fronts.json"


class Carts(NamedTuple):
    """N carts: position (N, 2), speed, heading, departed, index of the ore on board, and minus the fuel burnt."""

    position: NDArray[np.float32]
    speed: NDArray[np.float32]
    heading: NDArray[np.int64]
    departed: NDArray[np.bool_]
    content: NDArray[np.int64]
    fuel: Floats


class Ores:
    """Contents of carts met so far, numbered: (ore_1, ore_2) and the mines in the order of digging."""

    def __init__(self, deterministic: bool) -> None:
        mean, std = minecart._ORE_MEAN.astype(float), 0.05
        self.each = mean if deterministic else mean * norm.cdf(mean / std) + std * norm.pdf(mean / std)
        self.amounts, self.mines = [np.zeros(2)], [""]
        self._known: dict[tuple[int, int], int] = {}

    def dig(self, content: int, mine: int) -> int:
        """Return the number of a content after one step of digging."""
        if (content, mine) not in self._known:
            amount = self.amounts[content]
            for _ in range(SUB_STEPS):
                room = CAPACITY - amount.sum()
                amount = amount + self.each[mine] * min(1.0, room / self.each[mine].sum())
            self._known[content, mine] = len(self.amounts)
            self.amounts.append(amount)
            self.mines.append(self.mines[content] + str(mine))
        return self._known[content, mine]


def search(env: str) -> tuple[Floats, list[str]]:
    """Return the non-dominated returns (n, 3) that were found, and the mines of each."""
    ores = Ores(env == ENVS[0])
    carts = Carts(*(np.zeros(shape, kind) for shape, kind in [((1, 2), np.float32), (1, np.float32), (1, np.int64)]), *(
        np.zeros(1, kind) for kind in (bool, np.int64, float)
    ))  # fmt: skip
    carts = carts._replace(heading=carts.heading + minecart.START_HEADING)
    found: list[tuple[float, float, float, str]] = []
    for step in range(STEPS):
        following = []
        for action in (LEFT, RIGHT, ACCELERATE, BRAKE, NONE):
            moved, home = drive(carts, action, GAMMA**step)
            for content in np.unique(moved.content[home]):
                best = moved.fuel[home & (moved.content == content)].max()
                found.append((*(ores.amounts[content] * GAMMA**step), best, ores.mines[content]))
            following.append(pick(moved, ~home & (moved.speed < 0.2)))
        following.append(dug(carts, ores, GAMMA**step))
        carts = cheapest(Carts(*(np.concatenate(parts) for parts in zip(*following, strict=True))), GAMMA**step)
    returns = np.array([row[:3] for row in found])
    kept = np.flatnonzero(non_dominated(returns, keep_duplicates=False))
    return returns[kept], [found[i][3] for i in kept]


def pick(carts: Carts, rows: NDArray[np.generic]) -> Carts:
    """Return these carts alone."""
    return Carts(*(x[rows] for x in carts))


def drive(carts: Carts, action: int, discount: float) -> tuple[Carts, NDArray[np.bool_]]:
    """Return the carts after a step that does not dig, and whether they have come home: the rules of the environment.

    A cart that is home acts for one sub-step more there and does not move; its return is the same.
    """
    position, speed, heading, departed, content, fuel = carts
    home = np.zeros(len(speed), bool)
    turn = {RIGHT: 1, LEFT: -1}.get(action, 0)
    push = np.float32({ACCELERATE: ACCELERATION, BRAKE: -1.0}.get(action, 0.0))
    for _ in range(SUB_STEPS):
        heading = (heading + turn) % 36
        speed = np.clip(speed + push, 0, 1).astype(np.float32)
        velocity = speed[:, None] * np.stack([minecart._COS[heading], minecart._SIN[heading]], axis=1)
        low, high = position == 0, position == 1
        free = ~low & ~high & (np.abs(velocity) > minecart.EPS_SPEED)
        into = (high & (velocity > 0)).astype(int) - (low & (velocity < 0)).astype(int)
        sign = np.where(velocity > 0, 1, -1)
        bent = np.where(free[:, 1], into[:, 0] * sign[:, 1], 0) - np.where(free[:, 0], into[:, 1] * sign[:, 0], 0)
        moved = np.clip(position + velocity, 0, 1).astype(np.float32)
        moving = (speed >= minecart.EPS_SPEED) & ~home
        heading = np.where(moving, (heading + bent) % 36, heading)
        speed = np.where(moving, np.sqrt(((moved - position) ** 2).sum(axis=1)), speed).astype(np.float32)
        position = np.where(moving[:, None], moved, position)
        at_base = (position**2).sum(axis=1) < BASE_RADIUS**2
        home = home | (at_base & departed)
        departed = departed | ~at_base
    cost = SUB_STEPS * (minecart.FUEL_IDLE + (minecart.FUEL_ACCELERATE if action == ACCELERATE else 0.0))
    return Carts(position, speed, heading, departed, content, fuel + discount * cost), home


def dug(carts: Carts, ores: Ores, discount: float) -> Carts:
    """Return those carts that can dig, after a step of it."""
    squared = ((carts.position[:, None] - minecart._MINES) ** 2).sum(axis=2)
    full = np.array([amount.sum() >= CAPACITY - 1e-6 for amount in ores.amounts])[carts.content]
    able = (carts.speed < minecart.EPS_SPEED) & (squared.min(axis=1) <= MINE_RADIUS**2) & ~full
    mine, carts = squared.argmin(axis=1)[able], pick(carts, able)
    content = np.array([ores.dig(*pair) for pair in zip(carts.content.tolist(), mine.tolist(), strict=True)], np.int64)
    cost = SUB_STEPS * (minecart.FUEL_IDLE + minecart.FUEL_MINE)
    return carts._replace(content=content, fuel=carts.fuel + discount * cost)


def cheapest(carts: Carts, discount: float) -> Carts:
    """Return of the carts of each cell the one that burnt least, without those that cannot come home cheaply enough."""
    way = np.maximum(np.sqrt((carts.position**2).sum(axis=1)) - BASE_RADIUS, 0)
    carts = pick(carts, carts.fuel - discount * 0.02 * way / 0.6 > -MOST_FUEL)
    square = np.floor(carts.position / CELL).astype(np.int64)
    key = square[:, 0] * 2000 + square[:, 1]
    for part, size in ((carts.heading, 36), (np.round(carts.speed / ACCELERATION).astype(np.int64), 64)):
        key = key * size + part
    key = (key * 2 + carts.departed) * 1000 + carts.content
    order = np.lexsort((-carts.fuel, key))
    first = np.concatenate([[True], np.diff(key[order]) != 0])
    return pick(carts, order[first])


def known_front(env: str) -> Floats:
    """Return MO-Gymnasium's front, non-dominated and without copies, (20, 3)."""
    import mo_gymnasium

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the precision of its spaces
        front = np.unique(np.round(mo_gymnasium.make(env).unwrapped.pareto_front(GAMMA), 9), axis=0)
    return front[non_dominated(front)]


class Fill(NamedTuple):
    """Measures of a front against MO-Gymnasium's, and against what the search attains of each of its points.

    Attributes:
        tight, published: shares of its hypervolume at the two reference points.
        covered, covered_attainable: shares of its points, and of what is attainable of them, missed by at most 3 % of
            the range in each objective.
        loss, loss_attainable: maximum utility loss in normalised objectives.
    """

    tight: float
    published: float
    covered: float
    covered_attainable: float
    loss: float
    loss_attainable: float


def shortfalls(points: Floats, front: Floats, span: Floats) -> Floats:
    """Return by how much the nearest point misses each of a front, the worst objective in units of the range, (m,)."""
    missed: Floats = (np.maximum(front[:, None] - points[None], 0) / span).max(axis=2).min(axis=1)
    return missed


def attainable_part(front: Floats, attained: Floats) -> Floats:
    """Return each point of a front, lowered to the attained one that misses it least, (m, 3)."""
    span = np.ptp(front, axis=0)
    short = (np.maximum(front[:, None] - attained[None], 0) / span).max(axis=2)
    return np.minimum(front, attained[short.argmin(axis=1)])


def fill(points: Floats, front: Floats, attained: Floats) -> Fill:
    span = np.ptp(front, axis=0)
    part = attainable_part(front, attained)
    weights = np.concatenate([np.eye(3), np.random.default_rng(0).dirichlet(np.ones(3), 20_000)])
    volumes = [
        hypervolume(points, reference) / hypervolume(front, reference)
        for reference in (tight_reference(front), PUBLISHED_REFERENCE)
    ]
    covered = [float((shortfalls(points, x, span) <= 0.03).mean()) for x in (front, part)]
    losses = [maximum_utility_loss(points / span, x / span, weights) for x in (front, part)]
    return Fill(*volumes, *covered, *losses)


def report_search() -> None:
    for env in ENVS:
        front, began = known_front(env), time.perf_counter()
        attained, mines = search(env)
        span = np.ptp(front, axis=0)
        print(f"\n{env}: {len(attained)} points in {time.perf_counter() - began:.0f} s")
        print("MO-Gymnasium's, and by how much of the range the search misses each:")
        for point, missed in zip(front, shortfalls(attained, front, span), strict=True):
            print(f"  {point.round(3)} {missed:.3f}")
        print("attained, with the mines dug in:")
        for i in np.lexsort(attained.T):
            print(f"  {attained[i].round(3)} {mines[i]}")
        print(fill(attained, front, attained))


def report_training(wanted: str, envs: list[str], seeds: range, out: Path) -> None:
    """Train, print and keep the measures of every run, beside those that the file has of other runs."""
    import morl

    rows = json.loads(out.read_text()) if out.exists() else []
    for env in envs:
        front, attained = known_front(env), search(env)[0]
        for name, flags in CASES.items():
            if wanted and wanted != name:
                continue
            for seed in seeds:
                with tempfile.TemporaryDirectory() as scratch:
                    run = Path(scratch) / "run"
                    command = ["-m", "morl", "train", "cmorl", "--env", env, "--gamma", str(GAMMA), *flags.split()]
                    began = time.perf_counter()
                    extra = ["--seed", str(seed), "--out", str(run)]
                    subprocess.run([sys.executable, *command, *extra], check=True, capture_output=True)
                    seconds = time.perf_counter() - began
                    points = np.asarray(morl.load(run).front.returns, np.float64)
                measured = {key: round(value, 4) for key, value in fill(points, front, attained)._asdict().items()}
                mine = {"env": env, "case": name, "seed": seed}
                rows = [row for row in rows if {key: row[key] for key in mine} != mine]
                rows.append({**mine, "policies": len(points), **measured, "seconds": round(seconds, 1)})
                rows.sort(key=lambda row: (row["env"], list(CASES).index(row["case"]), row["seed"]))
                print(next(row for row in rows if {key: row[key] for key in mine} == mine), flush=True)
                out.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Return medians over seeds, with the lowest and highest, in Markdown."""
    names = ("policies", *Fill._fields, "seconds")
    lines = [f"| environment | case | seeds | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for env, case in dict.fromkeys((row["env"], row["case"]) for row in rows):
        mine = [row for row in rows if (row["env"], row["case"]) == (env, case)]
        values = [sorted(row[name] for row in mine) for name in names]
        cells = [f"{statistics.median(x):.3g} ({x[0]:.3g} to {x[-1]:.3g})" for x in values]
        lines.append(f"| {env} | {case} | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["search", "train", "show"])
    parser.add_argument("case", nargs="?", default="", choices=["", *CASES], metavar="case", help="name of a case")
    parser.add_argument("--env", choices=ENVS, nargs="+", default=list(ENVS))
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the measures are kept")
    args = parser.parse_args()
    if args.what == "search":
        report_search()
    elif args.what == "show":
        print(table(json.loads(args.out.read_text())))
    else:
        report_training(args.case, args.env, range(args.first_seed, args.first_seed + args.seeds), args.out)


if __name__ == "__main__":
    main()
