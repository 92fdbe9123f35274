"""Picture of the offloading suite: servers with their tasks, and uploads under way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.envs.pictures import canvas as c

COLOURS = (c.BLUE, c.ORANGE, c.GREEN, c.PURPLE, c.GOLD, c.RED)
ROW, LEFT, TOP, BOTTOM = 34.0, 118.0, 44.0, 34.0
SPAN, WIDTH = 40.0, 420.0  # Mbit that fill the width; width in pixels


def draw(heading: str, bank: Any, frequency: Any, num_servers: int) -> NDArray[np.uint8]:
    """Draw a bar for each server, with a part for each running task as long as its work left; dots are uploads.

    Args:
        heading: text above the servers.
        bank: tasks on them (:class:`morl.envs.offloading.bank.Bank`).
        frequency: (S,) GHz, 0 for no server.
        num_servers: rows from this number on are the device itself.
    """
    frequency, server = np.asarray(frequency), np.asarray(bank.server)
    left, uploads = np.asarray(bank.left), np.isfinite(bank.wait)
    rows = np.flatnonzero(frequency > 0)
    canvas = c.Canvas(LEFT + WIDTH + 90, TOP + ROW * len(rows) + BOTTOM, 1, c.PAPER)
    canvas.text((12, 20), heading, 15, anchor="lm")
    for row, place in enumerate(rows):
        y = TOP + ROW * row
        name = "cloud" if place == 0 else f"edge {place}" if place < num_servers else "device"
        canvas.text((12, y + 8), name, 13, anchor="lm")
        canvas.text((12, y + 21), f"{frequency[place]:.2f} GHz", 10, anchor="lm")
        canvas.rectangle((LEFT, y + 2), (LEFT + WIDTH, y + ROW - 6), c.SKY if place == 0 else "#f3f5f8")
        here = (server == place) & ~uploads
        x = LEFT
        for i in np.flatnonzero(here):
            end = min(x + WIDTH * left[i] / SPAN, LEFT + WIDTH)
            if end - x >= 1:  # a shorter part is counted, not drawn
                canvas.rectangle((x, y + 4), (end, y + ROW - 8), COLOURS[i % len(COLOURS)], c.PAPER)
            x = end
        canvas.text((LEFT + WIDTH + 8, y + 14), f"{int(here.sum())} run", 12, anchor="lm")
        for k in range(min(int(((server == place) & uploads).sum()), 9)):
            canvas.circle((LEFT - 8 - 5 * k, y + 14), 2, c.RED)
    bottom = TOP + ROW * len(rows) + 14
    for mbit in range(0, int(SPAN) + 1, 10):
        canvas.text((LEFT + WIDTH * mbit / SPAN, bottom), f"{mbit} Mbit" if mbit else "0", 11)
    return canvas.array()
