"""Picture of task offloading: servers with their tasks, uploads under way, and the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from morl.envs.mec import flights, sharing
from morl.envs.pictures import canvas as c

if TYPE_CHECKING:
    from morl.envs.mec.environment import MecOffloading

COLOURS = (c.BLUE, c.ORANGE, c.GREEN, c.PURPLE, c.GOLD, c.RED)
ROW, LEFT, TOP = 34.0, 118.0, 92.0
SPAN, WIDTH = 80.0, 480.0  # Mbit that fill the width; width in pixels


def draw(env: MecOffloading, state: Any, params: Any) -> NDArray[np.uint8]:
    """Draw a bar for each server, with a part for each running task as long as its work left; dots are uploads."""
    frequencies = np.asarray(state.frequency)
    servers = np.flatnonzero(frequencies > 0)
    now = float(state.step * params.step_seconds)
    canvas = c.Canvas(LEFT + WIDTH + 60, TOP + ROW * len(servers) + 34, 1, c.PAPER)
    size, queue = float(state.size), int(env.info(state, params)["queue_length"])
    canvas.text((12, 20), f"t = {now:g} s", 15, anchor="lm")
    offered = f"next: {size:.1f} Mbit of user {int(state.tasks.user[state.task])}" if size > 0 else "no task to place"
    canvas.text((LEFT, 20), offered, 15, anchor="lm")
    if size > 0:
        canvas.rectangle((LEFT, 32), (LEFT + _length(size), 50), c.INK)
    canvas.text((LEFT, 68), f"queue: {queue}", 13, anchor="lm")
    for i in range(min(queue, 24)):
        canvas.rectangle((LEFT + 74 + 14 * i, 61), (LEFT + 84 + 14 * i, 75), c.GOLD, c.INK)
    left = np.asarray(sharing.residuals(state.servers))
    under_way = np.asarray(state.flights.step) != flights.LANDED
    goes_to = np.asarray(state.flights.server)
    for row, server in enumerate(servers):
        y = TOP + ROW * row
        name = "cloud" if server == 0 else f"edge {server}"
        canvas.text((12, y + 8), name, 13, anchor="lm")
        canvas.text((12, y + 21), f"{frequencies[server]:.2f} GHz", 10, anchor="lm")
        canvas.rectangle((LEFT, y + 2), (LEFT + WIDTH, y + ROW - 6), c.SKY if server == 0 else "#f3f5f8")
        x = LEFT
        for i, residual in enumerate(left[server][left[server] > 0]):
            end = min(x + _length(residual), LEFT + WIDTH)
            if end - x >= 1:  # a shorter part is counted, not drawn
                canvas.rectangle((x, y + 4), (end, y + ROW - 8), COLOURS[i % len(COLOURS)], c.PAPER)
            x = end
        canvas.text((LEFT + WIDTH + 8, y + 14), f"{int(state.servers.running[server])} run", 12, anchor="lm")
        for i in range(min(int((under_way & (goes_to == server)).sum()), 9)):
            canvas.circle((LEFT - 8 - 5 * i, y + 14), 2, c.RED)
    bottom = TOP + ROW * len(servers) + 14
    for mbit in range(0, int(SPAN) + 1, 20):
        canvas.text((LEFT + _length(mbit), bottom), f"{mbit} Mbit" if mbit else "0", 11)
    return canvas.array()


def _length(mbit: float) -> float:
    return WIDTH * min(float(mbit), SPAN) / SPAN
