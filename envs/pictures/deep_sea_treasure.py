"""Picture of deep sea treasure, from the side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.deep_sea_treasure import ROCK as ROCK_VALUE
from morl.envs.classic.deep_sea_treasure import Params, State
from morl.envs.pictures import canvas as c


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Draw rock, treasures with their values and the submarine."""
    sea = np.asarray(params.sea)
    rows, columns = sea.shape
    canvas = c.Canvas(columns, rows, 36 if columns < 15 else 24, c.WATER)
    for row in range(rows):
        canvas.rectangle((0, row), (columns, row + 1), c.blend(c.WATER, c.DEEP, row / rows))
    for (row, column), value in np.ndenumerate(sea):
        if value == ROCK_VALUE:
            canvas.rectangle((column, row), (column + 1, row + 1), c.ROCK)
        elif value > 0:
            canvas.rectangle((column + 0.08, row + 0.3), (column + 0.92, row + 0.95), c.GOLD, c.INK)
            canvas.line([(column + 0.08, row + 0.45), (column + 0.92, row + 0.45)], c.INK)
            canvas.text((column + 0.5, row + 0.7), f"{value:.4g}", 0.34)
    row, column = (int(x) for x in state.position)
    _submarine(canvas, (column + 0.5, row + 0.36))  # above the value of a treasure in the same cell
    return canvas.array()


def _submarine(canvas: c.Canvas, centre: c.Point) -> None:
    x, y = centre
    canvas.line([(x + 0.1, y - 0.15), (x + 0.1, y - 0.32), (x + 0.18, y - 0.32)], c.INK, 2)  # periscope
    canvas.polygon([(x - 0.3, y), (x - 0.47, y - 0.17), (x - 0.47, y + 0.17)], c.RED, c.INK)
    canvas.rectangle((x - 0.08, y - 0.25), (x + 0.16, y), c.RED, c.INK)
    canvas.ellipse((x + 0.04, y), (0.4, 0.18), c.RED, c.INK)
    for window in (-0.14, 0.06, 0.26):
        canvas.circle((x + window, y - 0.01), 0.06, c.PAPER, c.INK)
