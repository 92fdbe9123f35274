"""Sheets of pictures of the best objects that a sampler has drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from morl.constructive.sampling import Candidates
from morl.errors import UserError
from morl.viz.video import check_new_file

COLUMNS, MOST = 4, 24  # pictures in a row, and on a sheet
INCHES = 2.6  # width of one


def check(env: Any, path: Path) -> None:
    """Refuse a sheet that cannot be drawn or written, before anything runs.

    Raises:
        UserError: a task without pictures, another suffix than .png, a file that exists or cannot be made.
    """
    if not hasattr(env, "picture") and not hasattr(env, "render"):
        raise UserError(f"{env.id} draws no pictures: it has no render")
    if path.suffix.lower() != ".png":
        raise UserError(f"cannot write a sheet to {path}; allowed: .png")
    check_new_file(path)


def draw(env: Any, best: Candidates, path: Path) -> int:
    """Write pictures of the candidates, with their objectives below; return how many, at most as many as fit a sheet.

    Each is the task's ``picture(text) -> (H, W, 3) uint8`` of the object where it has that, else its ``render``.
    """
    from matplotlib.figure import Figure  # takes a while to load

    from morl.viz import plotting

    number = min(len(best), MOST)
    columns = min(COLUMNS, number)
    rows = -(-number // columns)
    pictures = [_picture(env, best, i) for i in range(number)]
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    figure = Figure(figsize=(INCHES * columns, rows * (INCHES * tallest + 0.65)), layout="constrained", dpi=110)
    for i, picture in enumerate(pictures):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("0.8")
        measured = ", ".join(f"{name} {x:.3g}" for name, x in zip(best.objectives, best.values[i], strict=True))
        drawn_for = " ".join(f"{w:g}" for w in best.preferences[i])
        axes.set_xlabel(f"{measured}\nreward {best.rewards[i]:.3g} for {drawn_for}", fontsize=7)
    try:
        plotting.save(figure, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    return number


def _picture(env: Any, best: Candidates, i: int) -> NDArray[np.uint8]:
    if hasattr(env, "picture"):
        return np.asarray(env.picture(best.objects[i]), np.uint8)
    state = jax.tree.map(lambda x: x[i], best.states)
    return np.asarray(env.render(state, env.default_params), np.uint8)
