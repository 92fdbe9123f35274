"""Picture of the fruit tree, its root at the top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.classic import FRUIT_TREE
from morl.envs.classic.fruit_tree import Params, State
from morl.envs.pictures import canvas as c

WIDTH, ROW = 640, 34
COLOURS = (c.RED, c.ORANGE, c.GOLD, c.GREEN, c.BLUE, c.PURPLE)


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Draw all branches, the path walked so far and, at a leaf, the nutrients of its fruit."""
    fruits = np.asarray(params.fruits)
    depth = len(fruits).bit_length() - 1
    canvas = c.Canvas(WIDTH, (depth + 1) * ROW + 110, 1)
    here, place = (int(x) for x in state.node)
    walked = {(row, place >> (here - row)) for row in range(here + 1)}

    def at(row: int, index: int) -> c.Point:
        return (10 + (index + 0.5) * (WIDTH - 20) / 2**row, 18 + row * ROW)

    for way in (False, True):  # the path walked is drawn last, on top
        for row in range(1, depth + 1):
            for index in range(2**row):
                if ((row, index) in walked) == way:
                    colour, width = (c.GREEN, 4) if way else ("#b59f86", 1)
                    canvas.line([at(row - 1, index // 2), at(row, index)], colour, width)
    for index in range(2**depth):
        canvas.circle(at(depth, index), 3 if depth > 6 else 4, c.RED)
    canvas.circle(at(here, place), 8, c.ORANGE, c.INK)
    bottom = (depth + 1) * ROW + 90
    amounts = fruits[place] if here == depth else np.zeros(len(COLOURS))
    for i, (name, amount, colour) in enumerate(zip(FRUIT_TREE.objective_names, amounts, COLOURS, strict=True)):
        x = WIDTH * (i + 0.5) / len(COLOURS)
        canvas.rectangle((x - 22, bottom - 6.5 * float(amount)), (x + 22, bottom), colour)
        canvas.text((x, bottom + 10), name, 13)
        if here == depth:
            canvas.text((x, bottom - 6.5 * float(amount) - 9), f"{amount:.2f}", 13)
    return canvas.array()
