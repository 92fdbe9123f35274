"""``morl front RUN``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from morl.cli.table import paragraph, table, terminal_width
from morl.errors import UserError
from morl.parsing import parse
from morl.runs.front import Floats, Front
from morl.runs.front_csv import goal_of
from morl.yardsticks.coverage import covered_share, hypervolume_tight

COMMAND = (40, "RUN [flags]", "print a run's front, or the policy of it that fits a preference")


@dataclass(frozen=True)
class FrontOptions:
    """Print and draw the front of a run, or print the policy of it that fits a preference."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    seed: int | None = None
    """Training seed; by default all of them."""
    preference: tuple[float, ...] | None = None
    """Weights of the objectives that sum to 1; prints only the policy with the largest weighted return."""
    utility: str | None = None
    """Utility of the expected return, by a name of ``morl train ppo --utility`` or module:function; prints the best
    policy and the best mixture of policies for it, with the preference, by default the even one, as its weights."""
    utility_point: tuple[float, ...] = ()
    """Point of the utility, one number per objective; as of ``morl train ppo``."""
    utility_widths: tuple[float, ...] = ()
    """Widths of the utility, one number per objective; by default 1."""
    utility_power: float = 1.0
    """Power of the utility."""
    reference_point: tuple[float, ...] | None = None
    """Reference point of the hypervolume, one number per objective; by default the run's."""
    csv: bool = False
    """Print all numbers as CSV, in the columns of front.csv."""
    json: bool = False
    """Print all numbers as JSON; with a preference those of its policy only."""
    png: Path | None = None
    """Also draw the front into a new PNG file."""

    def __post_init__(self) -> None:
        if self.csv and self.preference is not None:
            raise UserError("--csv prints the whole front; give it without --preference")
        if self.csv and self.reference_point is not None:
            raise UserError("--csv prints no hypervolume; give it without --reference-point")
        if self.utility is None and (self.utility_point or self.utility_widths):
            raise UserError("utility_point and utility_widths are of a utility; give --utility")
        if self.csv and self.utility is not None:
            raise UserError("--csv prints the whole front; give it without --utility")
        if self.csv and self.json:
            raise UserError("give --csv or --json, not both")
        if self.png is not None and self.png.suffix.lower() != ".png":
            raise UserError(f"cannot write a picture to {self.png}; allowed: .png")


def main(args: Sequence[str]) -> int:
    """Print the fronts, and draw them if asked to."""
    options = parse(FrontOptions, args, prog="morl front")
    from morl.analysis.results import read_front
    from morl.loading import front_of_seed

    if options.png is not None:
        from morl.viz.video import check_new_file

        check_new_file(options.png)
    run = read_front(options.run)
    fronts = run.fronts if options.seed is None else {options.seed: front_of_seed(run.fronts, options.seed)}
    fronts = {seed: front.with_reference_point(options.reference_point) for seed, front in fronts.items()}
    chosen = {
        seed: range(len(front)) if options.preference is None else [front.assign(options.preference)]
        for seed, front in fronts.items()
    }
    if options.utility is not None:
        _print_utilities(fronts, options)
        return 0
    if options.png is not None:
        from morl.viz import plotting

        title = f"{run.agent} on {run.env}"
        plotting.save(plotting.draw_front(fronts, title), options.png)
    if options.csv:
        from morl.runs.front_csv import to_csv

        print(to_csv(dict(fronts)), end="")
    elif options.json:
        print(json.dumps([as_json(seed, front, chosen[seed]) for seed, front in fronts.items()], indent=1))
    else:
        _print(fronts, chosen, draw=options.preference is None)
        if options.preference is None:
            print(f"picture: {options.png or run.path / 'front.png'}")
    return 0


def _print_utilities(fronts: Mapping[int, Front], options: FrontOptions) -> None:
    """Print the best policy and the best mixture of each front for a utility."""
    assert options.utility is not None  # noqa: S101  # asked before
    from morl.agents.ppo.utility import load_utility
    from morl.ops.preferences import check_preference
    from morl.ops.utilities.mixtures import best_mixture

    rows = []
    for seed, front in fronts.items():
        size = len(front.objectives)
        given = np.full(size, 1 / size) if options.preference is None else options.preference
        weights = check_preference(given, size, front.objectives)
        shape = {"point": options.utility_point, "widths": options.utility_widths, "power": options.utility_power}
        found = best_mixture(front.returns, load_utility(options.utility, size, **shape), weights)
        shares = {int(i): float(found.shares[i]) for i in np.flatnonzero(found.shares > 1e-3)}
        row = {"seed": seed, **found._asdict(), "returns": found.returns.tolist(), "shares": shares}
        rows.append(row)
        if not options.json:
            mixture = ", ".join(f"{share:.3f} of policy {i}" for i, share in shares.items())
            returns = ", ".join(f"{name} {x:.4g}" for name, x in zip(front.objectives, found.returns, strict=True))
            print(f"seed {seed}: utility {options.utility} of expected returns")
            print(f"  best policy: {found.policy}, {found.policy_utility:.6g}")
            print(f"  best mixture, drawn once an episode: {mixture}: {found.utility:.6g} ({returns})")
    if options.json:
        print(json.dumps(rows, indent=1))


def _print(fronts: Mapping[int, Front], chosen: Mapping[int, Sequence[int]], *, draw: bool) -> None:
    from morl.viz.sketch import sketch

    for seed, front in fronts.items():
        print(describe(seed, front, chosen[seed]))
        if draw and (text := front.describe_tight()):
            print(paragraph(text))
        for note in front.notes if draw else filter(None, [front.note]):
            print(paragraph(f"note: {note}"))
        if draw:
            drawn = sketch(front.returns, front.objectives, sys.stdout.encoding or "ascii", terminal_width())
            print(f"\n{drawn}\n")


def describe(seed: int, front: Front, rows: Sequence[int], ids: Sequence[int] | None = None) -> str:
    """Return a title line and a table of policies or objects.

    Args:
        seed: of the training.
        front: whose rows they are.
        rows: to show.
        ids: of the policies of all rows; by default the rows' numbers.
    """
    title = f"seed {seed}: {len(front)} {front.kind}, {front.describe_hypervolume()}; "
    if front.objects is not None:
        about, shown = _described_objects(front, front.objects, rows)
        return f"{paragraph(title + about)}\n{shown}"
    title += f"discounted returns, mean ± standard error of {front.episodes} greedy episodes"
    alone: Any = np.zeros((len(front), 0)) if front.without_bonus is None else front.without_bonus
    header = ["id", *(["preference"] if front.conditional else []), "best for", *front.objectives]
    texts = len(header) - len(front.objectives)
    header += [*(f"{name} without bonus" for name in front.objectives if alone.size), "steps"]
    body = [
        [
            str(i if ids is None else ids[i]),
            *([" ".join(f"{w:.2f}" for w in front.preferences[i])] if front.conditional else []),
            weights_text(front.best_for[i]),
            *(f"{x:.4g} ± {e:.2g}" for x, e in zip(front.returns[i], front.stderr[i], strict=True)),
            *(f"{x:.4g}" for x in alone[i]),
            f"{front.length[i]:.0f}",
        ]
        for i in rows
    ]
    about = "; best for: the weights under which no other policy has a larger weighted return"
    about += "; without bonus: less the reward for being alive" if alone.size else ""
    return f"{paragraph(title + about)}\n{table(header, body, right=[0, *range(texts, len(header))])}"


def weights_text(ranges: Floats) -> str:
    """Return the ranges of weights (R, 2) for which a policy is the best in words, such as ``0.2–0.35 0.65–0.8``."""
    if not np.isfinite(ranges).all():
        return "no linear preference"
    return " ".join(map(_range_text, ranges))


def _range_text(ends: Floats) -> str:
    """Return the two ends of a range with two digits, and more where they would look the same."""
    for digits in range(2, 7):
        low, high = (f"{x:.{digits}g}" for x in ends)
        if low != high or ends[0] == ends[1]:
            break
    return low if low == high else f"{low}–{high}"


def as_json(seed: int, front: Front, rows: Sequence[int]) -> dict[str, Any]:
    """Return a front as JSON values; numbers that are not finite, such as the error of one episode, are null."""
    goal = "preferences" if goal_of(front) == "preference" else "trained_for"
    parts = ["returns", "stderr", "undiscounted", "undiscounted_stderr"]
    parts += [] if front.without_bonus is None else ["without_bonus"]
    return {
        "seed": seed,
        "objectives": list(front.objectives),
        "gamma": front.gamma,
        "episodes": front.episodes,
        "reference_point": front.reference_point.tolist(),
        "hypervolume": front.hypervolume(),
        **_tight(front),
        "notes": front.notes,
        "policies": [
            {
                "id": i,
                goal: front.preferences[i].tolist(),
                "best_for": front.best_for[i].tolist() if np.isfinite(front.best_for[i]).all() else None,
                **{part: [float(x) if math.isfinite(x) else None for x in getattr(front, part)[i]] for part in parts},
                "length": float(front.length[i]),
                **({} if front.objects is None else {"object": front.objects[i]}),
            }
            for i in rows
        ],
    }


def _tight(front: Front) -> dict[str, Any]:
    """Return how a front does at the tight reference point as JSON values; null where no front is known."""
    known = None if front.protocol is None else front.protocol.known_front
    if known is None:
        return {"tight_reference_point": None, "hypervolume_tight": None, "covered_share": None}
    return {
        "tight_reference_point": known.tight_reference.tolist(),
        "hypervolume_tight": hypervolume_tight(front.returns, known.points)[0],
        "covered_share": covered_share(front.returns, known.points),
    }


def _described_objects(front: Front, objects: Sequence[str], rows: Sequence[int]) -> tuple[str, str]:
    """Return the rest of the title and the table for a front of objects."""
    header = ["id", "drawn for", *front.objectives, "steps", "object"]
    body = [
        [
            str(i),
            " ".join(f"{w:.2f}" for w in front.preferences[i]),
            *(f"{x:.4g}" for x in front.returns[i]),
            f"{front.length[i]:.0f}",
            objects[i],
        ]
        for i in rows
    ]
    if front.labelled:  # for no preference
        header, body = [header[0], *header[2:]], [[row[0], *row[2:]] for row in body]
        return "labelled", table(header, body, right=list(range(len(header) - 1)))
    return "the best of those drawn", table(header, body, right=[0, *range(2, len(header) - 1)])
