"""Picture of the hypergrid, from above, with two objectives as colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive.hypergrid import Params, State
from morl.envs.pictures import canvas as c


def draw(state: State, params: Params) -> NDArray[np.uint8]:
    """Draw the first objective in blue, the second in orange, and the walker, red or, when finished, green."""
    values = np.asarray(params.values)
    side = len(values)
    canvas = c.Canvas(side, side, max(1, 480 // side))
    for row, column in np.ndindex(side, side):
        first, second = (float(x) for x in np.clip(values[row, column, :2], 0, 1))
        shade = c.blend(c.blend(c.PAPER, c.BLUE, first), c.ORANGE, second / 2)
        canvas.rectangle((column, row), (column + 1, row + 1), shade)
    row, column = (int(x) for x in state.position)
    canvas.circle((column + 0.5, row + 0.5), 0.45, c.GREEN if state.done else c.RED, c.INK)
    return canvas.array()
