"""Pictures of fronts."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from morl.runs.front import Floats, Front

if TYPE_CHECKING:
    from morl.analysis.comparison import Comparison

COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
MAX_PAIRS = 3  # with more objectives, parallel coordinates instead of a panel per pair


def draw_front(fronts: Mapping[int, Front], title: str, true_front: Floats | None = None) -> Figure:
    """Draw the fronts of a run's training seeds, one colour per seed, with error bars of two standard errors.

    Two objectives in one panel, three in a panel for each pair, more as parallel coordinates.
    """
    front = next(iter(fronts.values()))
    names = front.objectives
    if len(names) > MAX_PAIRS:
        return _parallel_coordinates(fronts, title)
    pairs = list(itertools.combinations(range(len(names)), 2))
    figure = Figure(figsize=(1.0 + 4.6 * len(pairs), 4.6), layout="constrained", dpi=110)
    for column, (x, y) in enumerate(pairs):
        axes = figure.add_subplot(1, len(pairs), column + 1)
        if true_front is not None:
            axes.scatter(
                true_front[:, x], true_front[:, y], s=90, facecolors="none", edgecolors="0.45", label="true front"
            )
        for (seed, one), colour in zip(fronts.items(), itertools.cycle(COLOURS), strict=False):
            _panel(axes, one, x, y, colour, f"seed {seed} ({len(one)} {one.kind})")
        axes.set_xlabel(names[x])
        axes.set_ylabel(names[y])
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles[:9], labels[:9], loc="outside lower center", ncols=2 * len(pairs), frameon=False)
    figure.suptitle(f"{title}\n{front.caption}")
    return figure


def _panel(axes: Axes, front: Front, x: int, y: int, colour: str, label: str) -> None:
    """Draw one pair of objectives; with more than two, the shade shows how good the others are."""
    others = [i for i in range(len(front.objectives)) if i not in (x, y)]
    points, errors = front.returns, np.nan_to_num(2 * front.stderr)
    axes.errorbar(
        points[:, x],
        points[:, y],
        xerr=errors[:, x],
        yerr=errors[:, y],
        fmt="none",
        ecolor=colour,
        alpha=0.35,
        linewidth=1,
        zorder=1,
    )
    if others:
        rest = points[:, others[0]]
        spread = float(np.ptp(rest)) or 1.0
        sizes = 18 + 60 * (rest - rest.min()) / spread
        axes.scatter(points[:, x], points[:, y], s=sizes, color=colour, alpha=0.65, linewidths=0, label=label, zorder=2)
        axes.set_title(f"larger: better {front.objectives[others[0]]}", fontsize=9, color="0.35")
    else:
        order = np.argsort(points[:, x])
        axes.plot(points[order, x], points[order, y], color=colour, alpha=0.3, linewidth=1, drawstyle="steps-pre")
        axes.scatter(points[:, x], points[:, y], s=28, color=colour, label=label, zorder=2)


def _parallel_coordinates(fronts: Mapping[int, Front], title: str) -> Figure:
    names = next(iter(fronts.values())).objectives
    every = np.concatenate([front.returns for front in fronts.values()])
    low, high = every.min(axis=0), every.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    figure = Figure(figsize=(2.0 + 1.5 * len(names), 5.0), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for (seed, front), colour in zip(fronts.items(), itertools.cycle(COLOURS), strict=False):
        lines = axes.plot(((front.returns - low) / span).T, color=colour, alpha=0.45, linewidth=1)
        lines[0].set_label(f"seed {seed} ({len(front)} {front.kind})")
    for i in range(len(names)):
        axes.axvline(i, color="0.8", zorder=0)
        axes.annotate(f"{high[i]:.3g}", (i, 1.02), ha="center", fontsize=8, color="0.35")
        axes.annotate(f"{low[i]:.3g}", (i, -0.05), ha="center", fontsize=8, color="0.35")
    axes.set_ylim(-0.08, 1.08)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    front = next(iter(fronts.values()))
    figure.suptitle(f"{title}\n{front.caption}")
    return figure


def draw_comparison(found: Comparison) -> Figure:
    """Draw a panel per metric: the seeds of each group, their interquartile mean and its interval."""
    groups, metrics = found.groups, found.metrics
    across = min(4, len(metrics))
    down = -(-len(metrics) // across)
    figure = Figure(figsize=(3.6 * across, down * (1.9 + 0.45 * len(groups))), layout="constrained", dpi=110)
    for number, metric in enumerate(metrics):
        axes = figure.add_subplot(down, across, number + 1)
        for row, (group, colour) in enumerate(zip(groups, itertools.cycle(COLOURS), strict=False)):
            values, mean = found.of(group, metric.name), found.means[group, metric.name]
            axes.plot([mean.low, mean.high], [row, row], color=colour, linewidth=9, alpha=0.25, solid_capstyle="butt")
            axes.scatter(values, np.full(len(values), row), s=14, color=colour, alpha=0.7, linewidths=0, zorder=2)
            axes.scatter([mean.value], [row], s=110, marker="|", color=colour, linewidths=2.5, zorder=3)
        axes.set_yticks(
            range(len(groups)), [textwrap.fill(group, 28) for group in groups] if number % across == 0 else []
        )
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=4)
        better = {1: ", more is better", -1: ", less is better", 0: ""}[metric.sign]
        axes.set_title(f"{metric.label}{better}", fontsize=10)
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle(f"{found.env}: interquartile mean over seeds, 95 % bootstrap interval", fontsize=11)
    return figure


def save(figure: Figure, path: Path) -> NDArray[np.uint8]:
    """Write a PNG atomically; return its (H, W, 3) pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()
    temporary = path.with_name(f".{path.name}.tmp")
    Image.fromarray(pixels).save(temporary, "png", dpi=(figure.dpi, figure.dpi))
    temporary.replace(path)
    return pixels
