"""Picture of the mountain car."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic.mountain_car import MAX_POSITION, MIN_POSITION, State
from morl.envs.pictures import canvas as c

HEIGHT = 1.25
MARGIN = 0.1  # on both sides, for half of the car


def draw(state: State, goal: float) -> NDArray[np.uint8]:
    """Draw the hill, the flag at the goal and the car."""

    def hill(position: float) -> float:
        return math.sin(3 * position) * 0.45 + 0.55

    def at(position: float, height: float) -> c.Point:
        return (position - MIN_POSITION + MARGIN, HEIGHT - height)

    width = MAX_POSITION - MIN_POSITION + 2 * MARGIN
    canvas = c.Canvas(width, HEIGHT, 250, c.SKY)
    positions = np.linspace(MIN_POSITION - MARGIN, MAX_POSITION + MARGIN, 120).tolist()
    surface = [at(x, hill(x)) for x in positions]
    canvas.polygon([*surface, (width, HEIGHT), (0, HEIGHT)], c.GRASS)
    canvas.line(surface, c.GREEN, 2)
    x, y = at(goal, hill(goal))
    canvas.line([(x, y), (x, y - 0.2)], c.INK, 2)
    canvas.polygon([(x, y - 0.2), (x + 0.09, y - 0.165), (x, y - 0.13)], c.RED)
    position = float(state.position)
    slope = math.atan(1.35 * math.cos(3 * position))

    def body(along: float, up: float) -> c.Point:
        turned = (along * math.cos(slope) - up * math.sin(slope), along * math.sin(slope) + up * math.cos(slope))
        return at(position + turned[0], hill(position) + turned[1])

    canvas.polygon([body(-0.075, 0.025), body(0.075, 0.025), body(0.075, 0.055), body(-0.075, 0.055)], c.BLUE, c.INK)
    canvas.polygon([body(-0.045, 0.055), body(0.045, 0.055), body(0.03, 0.09), body(-0.03, 0.09)], c.WATER, c.INK)
    for wheel in (-0.045, 0.045):
        canvas.circle(body(wheel, 0.022), 0.022, c.INK)
    return canvas.array()
