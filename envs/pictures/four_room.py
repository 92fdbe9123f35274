"""Picture of the four rooms, from above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.four_room import Params, State
from morl.envs.pictures import canvas as c


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Draw walls, the shapes that are left, the goal and the collector."""
    wall, shape = np.asarray(params.wall), np.asarray(params.shape)
    kinds = np.asarray(params.kind).argmax(axis=1)
    collected = np.asarray(state.collected)
    canvas = c.Canvas(wall.shape[1], wall.shape[0], 400 / max(wall.shape))
    for (row, column), is_wall in np.ndenumerate(wall):
        canvas.rectangle((column, row), (column + 1, row + 1), c.INK if is_wall else c.PAPER, c.GRID)
        number = shape[row, column]
        if number >= 0 and not collected[number]:
            x, y = column + 0.5, row + 0.5
            if kinds[number] == 0:
                canvas.rectangle((x - 0.33, y - 0.33), (x + 0.33, y + 0.33), c.BLUE)
            elif kinds[number] == 1:
                canvas.polygon([(x, y - 0.38), (x - 0.38, y + 0.36), (x + 0.38, y + 0.36)], c.GREEN)
            else:
                canvas.circle((x, y), 0.36, c.RED)
    row, column = (int(x) for x in params.goal)
    canvas.rectangle((column, row), (column + 1, row + 1), c.GOLD, c.INK)
    canvas.text((column + 0.5, row + 0.5), "G", 0.7)
    row, column = (int(x) for x in state.position)
    c.person(canvas, (column + 0.5, row + 0.5), c.PURPLE)
    return canvas.array()
