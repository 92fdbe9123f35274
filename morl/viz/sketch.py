"""Drawings of fronts with characters, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of a braille character by row and column
_SHADES = " ░▒▓█"
_FEW = 40  # with more points, several share a character
WIDTH, HEIGHT = 64, 16


def sketch(
    points: Floats,
    names: Sequence[str],
    encoding: str = "utf-8",
    columns: int | None = None,
    marked: Mapping[str, int] | None = None,
) -> str:
    """Draw points (n, R): a scatter plot of two objectives, or a histogram strip per objective for more.

    Where the encoding has no braille or block characters, in ASCII; at most as wide as a terminal of so many columns.

    Args:
        points: (n, R).
        names: of the R objectives.
        encoding: of the output.
        columns: of the terminal; None for a pipe.
        marked: letters that stand for some of the points, by their rows; two at one place are drawn as ``&``.
    """
    if len(names) == 2:
        text = _plane(points, names, _encodes("⣿●│└─", encoding), columns, marked or {})
    else:
        text = _strips(points, names, _encodes("█░", encoding), columns, marked or {})
    return text


def _encodes(characters: str, encoding: str) -> bool:
    try:
        characters.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _plane(points: Floats, names: Sequence[str], fine: bool, most: int | None, marked: Mapping[str, int]) -> str:
    """Draw a scatter plot; many points are drawn as four by two dots per character."""
    dots = fine and len(points) > _FEW
    rows, columns = (4, 2) if dots else (1, 1)
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    share = np.where(high > low, (points - low) / span, 0.5)
    labels = [f"{high[1]:.4g}", *[""] * (HEIGHT - 2), f"{low[1]:.4g}"]
    wide = max(map(len, labels))
    width = _width(most, wide + 2)
    x = np.rint(share[:, 0] * (width * columns - 1)).astype(int)
    y = np.rint((1 - share[:, 1]) * (HEIGHT * rows - 1)).astype(int)
    cells = [[0] * width for _ in range(HEIGHT)]
    for i, j in zip(y.tolist(), x.tolist(), strict=True):
        cells[i // rows][j // columns] |= _DOTS[i % rows][j % columns] if dots else 1
    blank, bar, corner, line = (" ", "│", "└", "─") if fine else (" ", "|", "+", "-")

    def character(cell: int) -> str:
        if not cell:
            return blank
        return chr(0x2800 + cell) if dots else "●" if fine else "*"

    drawn = [list(map(character, row)) for row in cells]
    for letter, i in marked.items():
        _mark(drawn[y[i] // rows], int(x[i]) // columns, letter)
    body = [f"{label:>{wide}} {bar}{''.join(row)}".rstrip() for label, row in zip(labels, drawn, strict=True)]
    left, right = f"{low[0]:.4g}", f"{high[0]:.4g}"
    space = width - len(left) - len(right)
    middle = names[0][: max(0, space - 2)].center(space)
    foot = [f"{'':>{wide}} {corner}{line * width}", f"{'':>{wide}}  {left}{middle}{right}"]
    return "\n".join([f"{'':>{wide}} {names[1][:width]}", *body, *foot])


def _mark(line: list[str], place: int, letter: str) -> None:
    """Put a letter into a line of characters."""
    line[place] = "&" if line[place].isalpha() or line[place] == "&" else letter


def _width(most: int | None, beside: int) -> int:
    """Return the characters of a drawing with so many beside it, on a terminal of at most so many columns."""
    return WIDTH if most is None else max(10, min(WIDTH, most - beside))


def _strips(points: Floats, names: Sequence[str], fine: bool, most: int | None, marked: Mapping[str, int]) -> str:
    """Draw a strip per objective, from its worst value to its best, darker where more policies are."""
    shades = _SHADES if fine else " .:*#"
    lines = []
    wide = max(map(len, names))
    lows, highs = points.min(axis=0), points.max(axis=0)
    ends = [(f"{low:.4g}", f"{high:.4g}") for low, high in zip(lows, highs, strict=True)]
    left, right = (max(map(len, texts)) for texts in zip(*ends, strict=True))
    width = _width(most, wide + left + right + 6)
    for name, column, low, high, (first, last) in zip(names, points.T, lows, highs, ends, strict=True):
        counts = np.histogram(column, bins=width, range=(low, high) if high > low else (low - 1, high + 1))[0]
        level = np.ceil(counts / counts.max() * (len(shades) - 1)).astype(int)
        strip = [shades[i] for i in level]
        for letter, row in marked.items():
            share = (column[row] - low) / (high - low) if high > low else 0.5
            _mark(strip, min(int(share * width), width - 1), letter)
        lines.append(f"{name:<{wide}}  {first:>{left}} [{''.join(strip)}] {last}")
    return "\n".join(lines)
