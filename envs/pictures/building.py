"""Picture of the building."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from morl.envs.building.environment import FLOORS, ZONES, Params, State
from morl.envs.pictures import canvas as c

LEFT, TOP, WIDTH, STOREY = 66.0, 54.0, 396.0, 56.0
SPREAD = 8.0  # K from the target at which a colour is saturated


def draw(state: State, params: Params, time_resolution: int) -> NDArray[np.uint8]:
    """Draw the zones, blue below the target and red above, and the power by floor or of the whole building."""
    outdoor, ground, solar, _ = np.asarray(params.series[state.time], np.float64)
    target, temperatures = float(params.target), np.asarray(state.temperature, np.float64)
    canvas = c.Canvas(LEFT + WIDTH + 18, TOP + STOREY * len(FLOORS) + 62, 1, c.blend("#4a6274", c.SKY, float(solar)))
    moment = datetime(2001, 1, 1) + timedelta(seconds=int(state.time) * time_resolution)
    canvas.text((12, 18), f"{moment:%d %B, %H:%M}", 14, anchor="lm")
    canvas.text((LEFT + WIDTH, 18), f"outdoors {outdoor:.1f} °C, wanted {target:g} °C", 14, anchor="rm")
    bottom = TOP + STOREY * len(FLOORS)
    canvas.rectangle((0, bottom), (LEFT + WIDTH + 18, bottom + 62), c.SOIL)
    for level, (name, (start, stop)) in enumerate(reversed(FLOORS.items())):
        y = TOP + STOREY * level
        canvas.text((12, y + STOREY / 2), name, 13, anchor="lm")
        width = WIDTH / (stop - start)
        for i, temperature in enumerate(temperatures[start:stop]):
            x = LEFT + width * i
            share = min(abs(temperature - target) / SPREAD, 1.0)
            colour = c.blend(c.PAPER, c.RED if temperature > target else c.BLUE, share)
            canvas.rectangle((x, y), (x + width, y + STOREY), colour, c.INK)
            canvas.text((x + width / 2, y + STOREY / 2), f"{temperature:.1f}", 13)
    canvas.text((12, bottom + 18), f"ground {ground:.1f} °C", 13, anchor="lm")
    powers = ", ".join(f"{power:.1f}" for power in np.asarray(state.power))
    canvas.text((LEFT + WIDTH, bottom + 18), f"power {powers} of {ZONES} units", 13, anchor="rm")
    return canvas.array()
