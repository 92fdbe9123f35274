"""Picture of the water reservoir, in a cross-section."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.water_reservoir import CAPACITY, FLOODING_UPSTREAM, State
from morl.envs.pictures import canvas as c

TOP = 200.0  # level at the upper edge of the picture


def draw(state: State) -> NDArray[np.uint8]:
    """Draw the water level, the flooding threshold and the level above which water must be released."""
    canvas = c.Canvas(400, 260, 1, c.SKY)
    level = float(state.level[0])

    def height(level: float) -> float:
        return 240 - 220 * min(level, TOP) / TOP

    canvas.rectangle((0, height(level)), (300, 240), c.DEEP)
    canvas.polygon([(300, 20), (320, 20), (355, 240), (300, 240)], "#9aa5b1", c.INK)
    canvas.rectangle((355, 226), (400, 240), c.WATER)
    canvas.rectangle((0, 240), (400, 260), c.SOIL)
    for threshold, name, colour in ((FLOODING_UPSTREAM, "flooding", c.RED), (CAPACITY, "must release", c.ORANGE)):
        canvas.line([(0, height(threshold)), (300, height(threshold))], colour, 2)
        canvas.text((8, height(threshold) - 9), name, 13, anchor="lm")
    canvas.text((394, 12), f"level {level:.1f}", 14, anchor="rm")
    return canvas.array()
