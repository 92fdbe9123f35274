"""Picture of fishwood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.fishwood import WOOD, State
from morl.envs.pictures import canvas as c


def draw(state: State) -> NDArray[np.uint8]:
    """Draw fish on the left, trees on the right, and the fisherman."""
    canvas = c.Canvas(6, 3, 70, c.GRASS)
    canvas.rectangle((0, 0), (6, 0.7), c.SKY)
    canvas.ellipse((1.3, 2.0), (1.5, 0.95), c.WATER, c.DEEP)
    for x, y in ((0.7, 1.7), (1.6, 1.45), (1.0, 2.4)):
        canvas.ellipse((x, y), (0.24, 0.1), c.ORANGE, c.INK)
        canvas.polygon([(x + 0.2, y), (x + 0.38, y - 0.12), (x + 0.38, y + 0.12)], c.ORANGE, c.INK)
    for x, y in ((3.9, 1.5), (4.7, 1.2), (5.5, 1.6), (5.0, 2.3), (3.7, 2.5)):
        canvas.rectangle((x - 0.07, y), (x + 0.07, y + 0.4), c.ROCK)
        canvas.polygon([(x - 0.38, y + 0.08), (x, y - 0.75), (x + 0.38, y + 0.08)], c.GREEN, c.INK)
    in_woods = int(state.place) == WOOD
    c.person(canvas, (4.3, 2.1) if in_woods else (2.95, 2.15), c.RED)
    if not in_woods:
        canvas.line([(2.85, 2.2), (2.3, 1.5), (2.3, 2.0)], c.INK, 2)  # fishing rod
    canvas.text((3, 0.3), "in the woods" if in_woods else "fishing", 0.3)
    return canvas.array()
