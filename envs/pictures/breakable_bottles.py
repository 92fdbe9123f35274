"""Picture of the breakable bottles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.breakable_bottles import State
from morl.envs.pictures import canvas as c


def draw(state: State, size: int) -> NDArray[np.uint8]:
    """Draw the source on the left, the house on the right, bottles carried and dropped."""
    canvas = c.Canvas(size, 1.3, 420 / size)
    c.checkerboard(canvas, 1, size, ("#e9ddc7", "#e0d2b8"))
    canvas.rectangle((0, 1), (size, 1.3), c.PAPER)
    for i in range(4):
        c.bottle(canvas, (0.2 + 0.2 * i, 0.3))
    c.house(canvas, (size - 1, 0))
    for i, dropped in enumerate(np.asarray(state.dropped), start=1):
        x, y = i + 0.25, 0.85
        if dropped:  # shards
            canvas.polygon([(x - 0.2, y + 0.07), (x, y - 0.05), (x + 0.2, y + 0.07)], c.GREEN, c.INK)
            canvas.polygon([(x - 0.1, y - 0.1), (x, y - 0.22), (x + 0.06, y - 0.06)], c.GREEN, c.INK)
        if dropped > 1:
            canvas.text((x + 0.57, y), f"x {dropped}", 0.17)
    x, carrying = int(state.location) + 0.5, int(state.carrying)
    c.person(canvas, (x, 0.55))
    for i in range(carrying):
        c.bottle(canvas, (x - 0.3 + 0.6 * i, 0.6))
    canvas.text((size / 2, 1.15), f"carrying {carrying}, delivered {int(state.delivered)}", 0.17)
    return canvas.array()
