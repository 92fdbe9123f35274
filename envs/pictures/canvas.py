"""Canvas with its own units, drawn at twice its size and scaled down for smooth edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

Point = tuple[float, float]

WATER, DEEP, SKY = "#8ecae6", "#4a90c2", "#dceefb"
GRASS, SOIL, ROCK, SAND = "#b7d7a8", "#a98467", "#6b5b4b", "#efe3c8"
INK, PAPER, GRID = "#22313f", "#ffffff", "#d8dee6"
RED, ORANGE, GOLD, GREEN, BLUE, PURPLE = "#d1495b", "#ee964b", "#f4c430", "#3a7d44", "#2a6fbb", "#7b4fa3"

_OVERSAMPLING = 2


class Canvas:
    """Canvas of ``width`` x ``height`` units of ``scale`` pixels each; (0, 0) is the upper left corner.

    All methods take units; an outline is one pixel wide.
    """

    def __init__(self, width: float, height: float, scale: float, background: str = PAPER) -> None:
        self._size = (round(width * scale), round(height * scale))
        self._scale = scale * _OVERSAMPLING
        self._image = Image.new("RGB", tuple(_OVERSAMPLING * side for side in self._size), background)  # type: ignore[arg-type]
        self._draw = ImageDraw.Draw(self._image)

    def rectangle(self, corner: Point, opposite: Point, fill: str | None, outline: str | None = None) -> None:
        """Draw a rectangle between two corners."""
        (x0, y0), (x1, y1) = self._pixels(corner, opposite)
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        self._draw.rectangle(box, fill=fill, outline=outline, width=_OVERSAMPLING)

    def circle(self, centre: Point, radius: float, fill: str | None, outline: str | None = None) -> None:
        """Draw a disc."""
        self.ellipse(centre, (radius, radius), fill, outline)

    def ellipse(self, centre: Point, radii: Point, fill: str | None, outline: str | None = None) -> None:
        """Draw an ellipse along the axes."""
        (x, y), (rx, ry) = self._pixels(centre, radii)
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill, outline=outline, width=_OVERSAMPLING)

    def polygon(self, points: list[Point], fill: str, outline: str | None = None) -> None:
        """Draw a filled polygon."""
        self._draw.polygon(self._pixels(*points), fill=fill, outline=outline)

    def line(self, points: list[Point], fill: str, pixels: float = 1) -> None:
        """Draw a line through points."""
        self._draw.line(self._pixels(*points), fill=fill, width=round(pixels * _OVERSAMPLING), joint="curve")

    def text(self, position: Point, text: str, size: float, fill: str = INK, anchor: str = "mm") -> None:
        """Draw a line of text ``size`` units high; ``anchor`` as in Pillow, in the middle by default."""
        font: Any = ImageFont.load_default(size * self._scale)
        self._draw.text(self._pixels(position)[0], text, fill=fill, font=font, anchor=anchor)

    def array(self) -> NDArray[np.uint8]:
        """Return the picture, (H, W, 3) uint8."""
        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX), np.uint8)

    def _pixels(self, *points: Point) -> list[Point]:
        return [(float(x) * self._scale, float(y) * self._scale) for x, y in points]


def blend(first: str, second: str, share: float) -> str:
    """Mix two colours, with a ``share`` of the second."""
    pairs = zip(ImageColor.getrgb(first), ImageColor.getrgb(second), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def checkerboard(canvas: Canvas, rows: int, columns: int, colours: tuple[str, str]) -> None:
    """Draw fields of one unit in two shades."""
    for row in range(rows):
        for column in range(columns):
            canvas.rectangle((column, row), (column + 1, row + 1), colours[(row + column) % 2])


def person(canvas: Canvas, centre: Point, colour: str = BLUE) -> None:
    """Draw a person about 0.7 units tall."""
    x, y = centre
    canvas.polygon([(x - 0.2, y + 0.36), (x + 0.2, y + 0.36), (x + 0.1, y - 0.08), (x - 0.1, y - 0.08)], colour, INK)
    canvas.circle((x, y - 0.2), 0.15, "#f2c9a1", INK)


def house(canvas: Canvas, corner: Point) -> None:
    """Draw a house in the field with this upper left corner."""
    x, y = corner
    canvas.rectangle((x + 0.2, y + 0.45), (x + 0.8, y + 0.9), "#e8d3b0", INK)
    canvas.polygon([(x + 0.1, y + 0.48), (x + 0.5, y + 0.12), (x + 0.9, y + 0.48)], RED, INK)
    canvas.rectangle((x + 0.43, y + 0.62), (x + 0.57, y + 0.9), ROCK)


def bottle(canvas: Canvas, centre: Point) -> None:
    """Draw a bottle about half a unit tall."""
    x, y = centre
    canvas.rectangle((x - 0.09, y - 0.08), (x + 0.09, y + 0.26), GREEN, INK)
    canvas.rectangle((x - 0.035, y - 0.26), (x + 0.035, y - 0.08), GREEN, INK)
