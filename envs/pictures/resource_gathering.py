"""Picture of resource gathering, from above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.resource_gathering import ENEMIES, GEM, GOLD, HOME, SIZE, Params, State
from morl.envs.pictures import canvas as c


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Draw home, enemies, the resources left, and the gatherer with its load."""
    canvas = c.Canvas(SIZE, SIZE, 72)
    c.checkerboard(canvas, SIZE, SIZE, ("#c8dfb8", "#bbd6a8"))
    c.house(canvas, (HOME[1], HOME[0]))
    for row, column in ENEMIES:
        x, y = column + 0.5, row + 0.5
        canvas.circle((x, y), 0.3, c.PURPLE, c.INK)
        canvas.polygon([(x - 0.28, y - 0.15), (x - 0.2, y - 0.48), (x - 0.08, y - 0.28)], c.PURPLE, c.INK)
        canvas.polygon([(x + 0.28, y - 0.15), (x + 0.2, y - 0.48), (x + 0.08, y - 0.28)], c.PURPLE, c.INK)
        for side in (-0.11, 0.11):
            canvas.circle((x + side, y - 0.04), 0.06, c.GOLD, c.INK)
    has_gold, has_gem = (bool(flag) for flag in state.has)
    row, column = (int(x) for x in state.position)
    x, y = column + 0.5, row + 0.5
    if not has_gold:
        _gold(canvas, (GOLD[1] + 0.5, GOLD[0] + 0.55), 0.26)
    if not has_gem:
        _gem(canvas, (GEM[1] + 0.5, GEM[0] + 0.5), 0.26)
    c.person(canvas, (x, y))
    if has_gold:
        _gold(canvas, (x - 0.32, y + 0.25), 0.12)
    if has_gem:
        _gem(canvas, (x + 0.32, y + 0.25), 0.12)
    return canvas.array()


def _gold(canvas: c.Canvas, centre: c.Point, size: float) -> None:
    x, y = centre
    for dx, dy in ((-0.5, 0.4), (0.5, 0.4), (0.0, -0.3)):
        canvas.circle((x + dx * size, y + dy * size), 0.55 * size, c.GOLD, c.INK)


def _gem(canvas: c.Canvas, centre: c.Point, size: float) -> None:
    x, y = centre
    top = [(x - size, y - 0.25 * size), (x - 0.5 * size, y - size), (x + 0.5 * size, y - size)]
    canvas.polygon([*top, (x + size, y - 0.25 * size), (x, y + size)], "#5fd3e6", c.INK)
    canvas.line([(x - size, y - 0.25 * size), (x + size, y - 0.25 * size)], c.INK)
