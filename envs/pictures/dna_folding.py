"""Picture of a folded strand of DNA: bases are discs, pairs are lines between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive import folding
from morl.envs.pictures import canvas as c

COLOURS = {"A": c.GREEN, "C": c.BLUE, "T": c.RED, "G": c.GOLD}
SIDE = 12.0  # side of the picture, in units
FOOT = 1.2  # height of the text area
BASE = 0.28  # largest radius of a base


def draw(strand: str, longest: int, finished: bool) -> NDArray[np.uint8]:
    """Draw the strand in ViennaRNA's layout, its 5' end marked, and below it energy, pairs and hairpins."""
    canvas = c.Canvas(SIDE, SIDE, 40)
    if not strand:
        canvas.text((SIDE / 2, SIDE / 2), f"0 of at most {longest} bases", 0.45)
        return canvas.array()
    found = folding.fold(strand)
    places, apart = _layout(folding.layout(found.structure))
    radius = min(BASE, 0.4 * apart)
    backbone: Any = [tuple(place) for place in places]
    if len(backbone) > 1:
        canvas.line(backbone, c.INK, 2)
    opened: list[int] = []
    for i, letter in enumerate(found.structure):
        if letter == "(":
            opened.append(i)
        elif letter == ")":
            canvas.line([backbone[opened.pop()], backbone[i]], c.ROCK, 3)
    for i, base in enumerate(strand):
        canvas.circle(backbone[i], radius, COLOURS[base], c.INK)
        canvas.text(backbone[i], base, 1.2 * radius)
    canvas.circle(backbone[0], 1.5 * radius, None, c.INK)
    told = f"{abs(found.energy):.1f} kcal/mol, {found.pairs} pairs, {found.hairpins} hairpins"
    canvas.text((SIDE / 2, SIDE - 0.8), told, 0.45)
    canvas.text(
        (SIDE / 2, SIDE - 0.3), f"{len(strand)} of at most {longest} bases{', finished' if finished else ''}", 0.35
    )
    return canvas.array()


def _layout(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return places (n, 2) moved and scaled into the picture, and the distance of neighbours there."""
    low, high = places.min(axis=0), places.max(axis=0)
    room = np.array([SIDE - 1.5, SIDE - 1.5 - FOOT])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    usual = float(np.median(steps)) if len(steps) else 1.0
    scale = min(float((room / np.maximum(high - low, 1e-9)).min()), 2.5 * BASE / usual)
    middle = np.array([SIDE / 2, (SIDE - FOOT) / 2])
    return middle + (places - (low + high) / 2) * scale, usual * scale
