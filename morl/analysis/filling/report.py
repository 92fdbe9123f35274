"""Findings of a filling, as numbers and in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.analysis.filling.mixture import mixture_hypervolume
from morl.analysis.filling.search import Group, Line, Pool
from morl.ops.metrics import hypervolume_estimate
from morl.runs.directory import Run
from morl.words import counted, duration_text

Floats = NDArray[np.float64]

LEAST_SHARE = 5e-4  # of a policy in a merge, to be listed


@dataclass(frozen=True)
class SeedReport:
    """Findings on the front of one training seed.

    Attributes:
        before: policies of the run that are in its front, as evaluated beside the merges.
        after: policies of the filled front.
        merges: those of them that are merges.
        tried: merges evaluated in the search.
        promising: those that looked non-dominated, and were evaluated again.
        hypervolumes: of the front before (``policies``), of its mixtures (``mixtures``, None of over 5 objectives),
            of the filled front (``filled``) and of its mixtures (``filled_mixtures``), at the run's reference point.
        steps: environment steps of all episodes.
        shares: for each policy of the filled front the shares of the run's policies in it, by id.
        lines: between neighbours; of round 0 they are between the run's policies.
        groups: with the fits of their surrogates.
    """

    before: int
    after: int
    merges: int
    tried: int
    promising: int
    hypervolumes: Mapping[str, float | None]
    steps: int
    shares: tuple[Mapping[int, float], ...]
    lines: tuple[Line, ...]
    groups: tuple[Group, ...]

    @property
    def barriers(self) -> Floats:
        """Barriers of the lines between the run's own policies."""
        return np.array([line.barrier for line in self.lines if line.round == 0])

    def describe(self, objectives: tuple[str, ...]) -> list[str]:
        """Return the findings in a few lines."""
        found = self.hypervolumes
        lines = [
            f"{self.before} policies before, {self.after} after: {counted(self.merges, 'merge')} of"
            f" {self.tried} tried; {self.promising} looked non-dominated and were evaluated again",
            f"hypervolume {found['policies']:.6g} before, {found['filled']:.6g} filled; "
            + (
                "mixtures of over 5 objectives are not measured"
                if found["mixtures"] is None or found["filled_mixtures"] is None
                else f"mixtures of policies, one drawn each episode: {found['mixtures']:.6g} before,"
                f" {found['filled_mixtures']:.6g} filled"
            ),
        ]
        if len(self.barriers):
            low, middle, high = np.quantile(self.barriers, [0, 0.5, 1], method="nearest")
            lines.append(
                f"barrier between neighbours, as a share of the front's range: {middle:.3g} in the median"
                f" ({low:.3g} to {high:.3g}) of {counted(len(self.barriers), 'line')}"
            )
        if self.groups:
            fits = [np.median([getattr(group, name) for group in self.groups], axis=0) for name in ("fit", "left_out")]
            texts = [f"{name} {one:.2f} ({other:.2f})" for name, one, other in zip(objectives, *fits, strict=True)]
            lines.append(
                f"surrogates, R² (of points left out), median of {counted(len(self.groups), 'group')}: "
                + ", ".join(texts)
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as values for JSON; numbers that are not finite are null."""
        return {
            **{name: getattr(self, name) for name in ("before", "after", "merges", "tried", "promising", "steps")},
            "hypervolumes": dict(self.hypervolumes),
            "shares": [{str(i): share for i, share in row.items()} for row in self.shares],
            "lines": [
                {"round": x.round, "ends": list(x.ends), "gap": x.gap, "below": _finite(x.below)} for x in self.lines
            ],
            "groups": [
                {
                    "round": x.round,
                    "members": list(x.members),
                    "points": x.points,
                    "r2": _finite(x.fit),
                    "r2_left_out": _finite(x.left_out),
                }
                for x in self.groups
            ],
        }


@dataclass(frozen=True)
class Filled:
    """Run with filled fronts, and how it came about. It stands for the new run's path wherever one is asked for.

    Attributes:
        run: the new run.
        source: directory of the run it was made from.
        reports: findings by training seed.
        steps: environment steps of the search and of the confirmation, over all seeds.
        trained_steps: steps of the training, over all seeds.
        seconds: from start to end, compiling included.
    """

    run: Run
    source: Path
    reports: Mapping[int, SeedReport]
    steps: int
    trained_steps: int
    seconds: float

    def __fspath__(self) -> str:
        return str(self.run.path)

    def __repr__(self) -> str:
        return f"<Filled {self.run.path} from {self.source}>"

    def cost(self) -> dict[str, Any]:
        """Return the cost as plain values."""
        return {"steps": self.steps, "trained_steps": self.trained_steps, "seconds": round(self.seconds, 1)}

    def describe(self) -> str:
        """Return the findings and the cost in words."""
        lines = []
        for seed, report in self.reports.items():
            lines += [f"seed {seed}: {line}" for line in report.describe(self.run.front.objectives)]
        share = self.steps / self.trained_steps if self.trained_steps else math.nan
        cost = f"{self.steps:,} environment steps, {share:.1%} of the training's, in {duration_text(self.seconds)}"
        return "\n".join([*lines, f"cost: {cost}"])

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values for JSON."""
        about = {"from": str(self.source), "objectives": list(self.run.front.objectives), **self.cost()}
        return {**about, "seeds": {str(seed): report.as_dict() for seed, report in self.reports.items()}}

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.as_dict(), indent=1)


def report_of(
    *,
    pool: Pool,
    weights: Floats,
    confirmed: Floats,
    alone: Floats,
    tried: int,
    promising: int,
    steps: int,
    reference_point: Floats,
) -> SeedReport:
    """Return the findings of a search and its confirmation.

    Args:
        pool: of the search.
        weights: (N, n) of the filled front's policies.
        confirmed: (N, R) their returns.
        alone: (k, R) the front of the run's own policies on the same episodes.
        tried, promising, steps: as in :class:`SeedReport`.
        reference_point: (R,).
    """
    volumes = {
        "policies": hypervolume_estimate(alone, reference_point)[0],
        "mixtures": mixture_hypervolume(alone, reference_point),
        "filled": hypervolume_estimate(confirmed, reference_point)[0],
        "filled_mixtures": mixture_hypervolume(confirmed, reference_point),
    }
    return SeedReport(
        before=len(alone),
        after=len(confirmed),
        merges=int((weights.max(axis=1) != 1.0).sum()),
        tried=tried,
        promising=promising,
        hypervolumes=volumes,
        steps=steps,
        shares=tuple(
            {int(i): round(float(row[i]), 4) for i in np.flatnonzero(np.abs(row) > LEAST_SHARE)} for row in weights
        ),
        lines=tuple(pool.lines),
        groups=tuple(pool.groups),
    )


def _finite(values: Floats) -> list[float | None]:
    return [float(x) if math.isfinite(x) else None for x in values]
