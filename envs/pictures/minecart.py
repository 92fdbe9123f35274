"""Minecart from above, the base in the lower left corner."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from morl.envs.minecart import BASE_RADIUS, MINE_RADIUS, Params, State
from morl.envs.pictures import canvas as c

MARGIN = 0.06  # around the unit square, for what stands at its walls


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """The base, the mines with the mean of their ores, the cart as it faces and what it carries."""
    side = 1 + 2 * MARGIN
    canvas = c.Canvas(side, side + 0.1, 400, "#cdb692")

    def at(x: float, y: float) -> c.Point:
        return (MARGIN + x, MARGIN + 1 - y)

    canvas.rectangle(at(0, 0), at(1, 1), c.SAND, c.SOIL)
    canvas.circle(at(0, 0), BASE_RADIUS, "#b9c9d8", c.INK)
    canvas.rectangle((0, MARGIN), (MARGIN, side + 0.1), "#cdb692")
    canvas.rectangle((0, side - MARGIN), (side, side + 0.1), "#cdb692")
    canvas.text(at(0.055, 0.035), "base", 0.04)
    for (x, y), ores in zip(np.asarray(params.mines).tolist(), np.asarray(params.ore_mean).tolist(), strict=True):
        canvas.circle(at(x, y), MINE_RADIUS, "#d9cbb0", c.SOIL)
        canvas.circle(at(x, y), 0.05, c.ROCK, c.INK)
        for i, (mean, colour) in enumerate(zip(ores, (c.ORANGE, c.BLUE), strict=True)):
            px, py = at(x - 0.035 + 0.045 * i, y)
            canvas.rectangle((px, py - 0.4 * mean), (px + 0.025, py), colour)
    x, y = (float(v) for v in state.position)
    angle = math.radians(5 + 10 * int(state.heading))
    along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))

    def body(forward: float, aside: float) -> c.Point:
        return at(x + forward * along[0] + aside * across[0], y + forward * along[1] + aside * across[1])

    canvas.polygon(
        [body(-0.035, -0.028), body(0.02, -0.028), body(0.05, 0), body(0.02, 0.028), body(-0.035, 0.028)], c.RED, c.INK
    )
    content, capacity = np.asarray(state.content).tolist(), float(params.capacity)
    left, top, width = MARGIN, side + 0.02, 1.0
    canvas.rectangle((left, top), (left + width, top + 0.05), c.PAPER, c.INK)
    for amount, colour in zip(content, (c.ORANGE, c.BLUE), strict=True):
        canvas.rectangle((left, top), (left + width * amount / capacity, top + 0.05), colour)
        left += width * amount / capacity
    canvas.text((side / 2, top + 0.025), f"ore on board {sum(content):.2f} of {capacity:.1f}", 0.035)
    return canvas.array()
