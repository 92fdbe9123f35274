"""Pictures of a study: scores over trials, settings of all trials, their importance, the held-out seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morl.search_space import Choice, Domain, Parameter, Space, label
from morl.tune.heldout import HeldOut
from morl.tune.importance import importances
from morl.tune.journal import Trial
from morl.viz.plotting import COLOURS, save
from morl.words import counted

MARKS = {"finished": (COLOURS[0], "o"), "pruned": ("0.65", "v"), "failed": (COLOURS[3], "x")}
MOST_AXES = 12  # settings in the parallel coordinates, the most important ones


def write(
    path: Path,
    trials: Mapping[int, Trial],
    space: Space,
    settings: Mapping[str, Any],
    metric: str,
    held_out: HeldOut | None,
) -> None:
    """Write ``scores.png`` and ``parallel.png``, and as far as there are numbers ``importance.png``, ``held_out.png``.

    Args:
        path: directory of the study.
        trials: all trials by number.
        space: what is searched.
        settings: the agent's settings by name.
        metric: name of the score.
        held_out: the comparison on held-out seeds.
    """
    found = importances(trials, space, settings)
    save(draw_scores(trials, metric), path / "scores.png")
    save(draw_parallel(trials, space, settings, found, metric), path / "parallel.png")
    if found:
        save(draw_importances(found, trials), path / "importance.png")
    if held_out is not None:
        save(draw_held_out(held_out, metric), path / "held_out.png")


def draw_scores(trials: Mapping[int, Trial], metric: str) -> Figure:
    """Draw the score of each trial by its number, and the best so far."""
    figure = Figure(figsize=(8.0, 4.4), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for state, (colour, marker) in MARKS.items():
        chosen = [t for t in trials.values() if t.state == state and math.isfinite(t.score)]
        if chosen:
            axes.scatter(
                [t.number for t in chosen], [t.score for t in chosen], color=colour, marker=marker, s=26, label=state
            )
    finished = [t for t in trials.values() if t.state == "finished"]
    for t in finished:
        error = 2 * t.result.get("stderr", 0.0)
        axes.plot([t.number] * 2, [t.score - error, t.score + error], color=COLOURS[0], alpha=0.35, linewidth=1)
    if finished:
        best = np.maximum.accumulate([t.score for t in finished])
        axes.step(
            [t.number for t in finished], best, where="post", color=COLOURS[2], linewidth=1.2, label="best so far"
        )
    axes.set_xlabel("trial")
    axes.set_ylabel(f"score ({metric})")
    axes.set_title("Trials: finished ones re-evaluated, pruned ones as last estimated", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    _plain(axes)
    return figure


def draw_parallel(
    trials: Mapping[int, Trial], space: Space, settings: Mapping[str, Any], found: Mapping[str, float], metric: str
) -> Figure:
    """Draw each finished trial as a line through its settings, brighter for a better score."""
    names = sorted(space, key=lambda name: -found.get(name, 0.0))[:MOST_AXES]
    finished = sorted((t for t in trials.values() if t.state == "finished"), key=lambda t: t.score)
    figure = Figure(figsize=(1.5 + 1.25 * (len(names) + 1), 5.2), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    scores = np.array([t.score for t in finished])
    span = float(np.ptp(scores)) if len(scores) else 0.0
    from matplotlib import colormaps

    for rank, trial in enumerate(finished):
        heights = [_height(space[name].domain, trial.params.get(name, settings[name])) for name in names]
        value = (trial.score - scores.min()) / span if span else 0.5
        axes.plot([*heights, value], color=colormaps["viridis"](value), alpha=0.75, linewidth=1.2, zorder=rank)
    for i, name in enumerate(names):
        _axis(axes, i, space[name])
    for end, y in ((scores.max(initial=-math.inf), 1.02), (scores.min(initial=math.inf), -0.05)):
        if math.isfinite(end):
            axes.annotate(f"{end:.4g}", (len(names), y), ha="center", fontsize=8, color="0.35")
    axes.axvline(len(names), color="0.8", zorder=-1)
    axes.set_ylim(-0.08, 1.08)
    axes.set_xticks(range(len(names) + 1), [*names, f"score ({metric})"], rotation=35, ha="right", fontsize=8)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title("Settings of finished trials, the brighter the better", fontsize=10)
    return figure


def _axis(axes: Axes, x: int, parameter: Parameter) -> None:
    domain = parameter.domain
    axes.axvline(x, color="0.8", zorder=-1)
    if isinstance(domain, Choice):
        for i, text in enumerate(domain.labels):
            axes.annotate(text, (x + 0.03, i / (len(domain.labels) - 1)), fontsize=7, color="0.35")
        return
    axes.annotate(f"{domain.high:.3g}", (x, 1.02), ha="center", fontsize=8, color="0.35")
    axes.annotate(f"{domain.low:.3g}", (x, -0.05), ha="center", fontsize=8, color="0.35")


def _height(domain: Domain, value: Any) -> float:
    """Return the position of a value in its domain, from 0 to 1; NaN outside."""
    if isinstance(domain, Choice):
        text = label(list(value) if isinstance(value, tuple) else value)
        return domain.labels.index(text) / (len(domain.labels) - 1) if text in domain.labels else math.nan
    if value is None or not domain.low <= value <= domain.high:
        return math.nan
    low, high, x = (math.log(v) if domain.log else float(v) for v in (domain.low, domain.high, value))
    return (x - low) / (high - low)


def draw_importances(found: Mapping[str, float], trials: Mapping[int, Trial]) -> Figure:
    """Draw a bar for the importance of each setting."""
    names = sorted(found, key=lambda name: found[name])
    number = sum(t.state == "finished" for t in trials.values())
    figure = Figure(figsize=(7.0, 1.4 + 0.3 * len(names)), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    axes.barh(names, [found[name] for name in names], color=COLOURS[0])
    axes.set_xlabel("share of the importance")
    axes.set_title(f"Importance of settings, by the best tenth of {number} finished trials (PED-ANOVA)", fontsize=10)
    _plain(axes)
    return figure


def draw_held_out(found: HeldOut, metric: str) -> Figure:
    """Draw a line for each seed from the defaults to the best settings, and both means with their intervals."""
    figure = Figure(figsize=(5.2, 4.4), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for one, other in zip(found.default, found.best, strict=True):
        axes.plot([0, 1], [one, other], color="0.6", marker="o", markersize=4, linewidth=1)
    for x, mean, colour in ((-0.12, found.mean_default, COLOURS[1]), (1.12, found.mean_best, COLOURS[0])):
        axes.plot([x, x], [mean.low, mean.high], color=colour, linewidth=8, alpha=0.3, solid_capstyle="butt")
        axes.scatter([x], [mean.value], color=colour, s=60, zorder=3)
    axes.set_xticks([0, 1], ["defaults", "best of the search"])
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylabel(f"score ({metric})")
    axes.set_title(f"{counted(len(found.seeds), 'seed')} that the search has not seen", fontsize=10)
    _plain(axes)
    return figure


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
