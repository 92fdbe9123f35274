"""Deep sea treasure from the side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.deep_sea_treasure import ROCK as ROCK_VALUE
from morl.envs.deep_sea_treasure import Params, State
from morl.envs.pictures import canvas as c


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Rock, treasures with their values and the submarine."""
    sea = np.asarray(params.sea)
    rows, columns = sea.shape
    canvas = c.Canvas(columns, rows, 36 if columns < 15 else 24, c.WATER)
    for row in range(rows):
        canvas.rectangle((0, row), (columns, row + 1), c.WATER if row < rows / 2 else c.DEEP)
    for (row, column), value in np.ndenumerate(sea):
        if value == ROCK_VALUE:
            canvas.rectangle((column, row), (column + 1, row + 1), c.ROCK)
        elif value > 0:
            canvas.rectangle((column + 0.08, row + 0.3), (column + 0.92, row + 0.95), c.GOLD, c.INK)
            canvas.line([(column + 0.08, row + 0.45), (column + 0.92, row + 0.45)], c.INK)
            canvas.text((column + 0.5, row + 0.7), f"{value:.4g}", 0.34)
    row, column = (int(x) for x in state.position)
    x, y = column + 0.5, row + 0.5
    canvas.rectangle((x - 0.08, y - 0.42), (x + 0.14, y - 0.1), c.RED, c.INK)
    canvas.ellipse((x, y), (0.44, 0.24), c.RED, c.INK)
    canvas.circle((x + 0.2, y), 0.09, c.PAPER, c.INK)
    canvas.circle((x - 0.1, y), 0.09, c.PAPER, c.INK)
    return canvas.array()
