"""Picture of the minecart, from above, with the base in the lower left corner."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.minecart import BASE_RADIUS, MINE_RADIUS, Params, State
from morl.envs.pictures import canvas as c

MARGIN = 0.06  # around the unit square, for objects at its walls
FOOT = 0.13  # below it, for the content of the cart
SIDE = 1 + 2 * MARGIN
FRAME = "#cdb692"
ORES = (c.ORANGE, c.BLUE)


def at(x: float, y: float) -> c.Point:
    """Return the place on the canvas of a point of the unit square."""
    return (MARGIN + x, MARGIN + 1 - y)


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Draw the base, the mines with their mean ores, the cart with its heading, and its content."""
    canvas = c.Canvas(SIDE, SIDE + FOOT, 400, FRAME)
    canvas.rectangle(at(0, 0), at(1, 1), c.SAND, c.SOIL)
    canvas.circle(at(0, 0), BASE_RADIUS, "#b9c9d8", c.INK)
    canvas.rectangle((0, MARGIN), (MARGIN, SIDE + FOOT), FRAME)
    canvas.rectangle((0, SIDE - MARGIN), (SIDE, SIDE + FOOT), FRAME)
    canvas.text(at(BASE_RADIUS + 0.01, 0.03), "base", 0.04, anchor="lm")
    for (x, y), ores in zip(np.asarray(params.mines).tolist(), np.asarray(params.ore_mean).tolist(), strict=True):
        canvas.circle(at(x, y), MINE_RADIUS, "#d9cbb0", c.SOIL)
        canvas.circle(at(x, y), 0.05, c.ROCK, c.INK)
        for i, (mean, colour) in enumerate(zip(ores, ORES, strict=True)):
            if mean > 0:
                px, py = at(x - 0.035 + 0.045 * i, y - 0.02)
                canvas.rectangle((px, py - 0.4 * mean), (px + 0.025, py), colour, c.INK)
    content, capacity = np.asarray(state.content).tolist(), float(params.capacity)
    x, y = np.asarray(state.position).tolist()
    _cart(canvas, x, y, math.radians(5 + 10 * int(state.heading)), [amount / capacity for amount in content])
    left, top = MARGIN, SIDE
    canvas.rectangle((left, top), (left + 1, top + 0.045), c.PAPER, c.INK)
    for amount, colour in zip(content, ORES, strict=True):
        if amount > 0:
            canvas.rectangle((left, top), (left + amount / capacity, top + 0.045), colour, c.INK)
        left += amount / capacity
    text = ", ".join(f"ore {i} {amount:.2f}" for i, amount in enumerate(content, start=1))
    canvas.text((SIDE / 2, top + 0.085), f"on board: {text}, capacity {capacity:g}", 0.04)
    return canvas.array()


def _cart(canvas: c.Canvas, x: float, y: float, heading: float, load: list[float]) -> None:
    """Draw a wagon on four wheels with a pointed front; ``load`` is the share of each ore in its tray."""
    along, across = (math.cos(heading), math.sin(heading)), (-math.sin(heading), math.cos(heading))

    def body(forward: float, aside: float) -> c.Point:
        return at(x + forward * along[0] + aside * across[0], y + forward * along[1] + aside * across[1])

    def block(back: float, front: float, right: float, left: float, fill: str) -> None:
        corners = [(back, right), (front, right), (front, left), (back, left)]
        canvas.polygon([body(*corner) for corner in corners], fill, c.INK)

    for wheel in (-0.032, 0.022):
        block(wheel - 0.011, wheel + 0.011, -0.042, 0.042, c.INK)
    shape = [(-0.05, -0.034), (0.04, -0.034), (0.062, 0.0), (0.04, 0.034), (-0.05, 0.034)]
    canvas.polygon([body(*corner) for corner in shape], c.RED, c.INK)
    back, front = -0.038, 0.03
    block(back, front, -0.022, 0.022, c.PAPER)
    for share, colour in zip(load, ORES, strict=True):
        if share > 0:
            block(back, back + 0.068 * share, -0.022, 0.022, colour)
            back += 0.068 * share
