"""Tables and paragraphs: as wide as the terminal, in one piece for pipes."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

NARROWEST = 16  # letters of a column of text before it is broken into lines no further
GAP = "  "


def terminal_width() -> int | None:
    """Return the columns of the terminal that standard output is; None if it is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def paragraph(text: str) -> str:
    """Return a text broken into lines for the terminal."""
    width = terminal_width()
    return text if width is None else textwrap.fill(text, width, break_on_hyphens=False)


def reflowed(text: str) -> str:
    """Return a help text whose paragraphs, parted by empty lines, are broken anew where the terminal is narrower."""
    width = terminal_width()
    blocks = text.split("\n\n")
    for i, block in enumerate(blocks):
        lines = block.splitlines()
        if width is not None and any(len(line) > width for line in lines):
            whole = len(lines[0]) > width  # the lines of a paragraph, not of a list
            blocks[i] = paragraph(" ".join(lines)) if whole else "\n".join(map(paragraph, lines))
    return "\n\n".join(blocks).rstrip("\n") + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), fit: bool = True) -> str:
    """Return a table with columns aligned by spaces; those whose numbers are in ``right`` to the right.

    What is wider than the terminal is fitted to it: columns of text, those to the left, are broken into lines, and if
    that is not enough the columns follow in several tables, each of which begins with the first column. Not so without
    ``fit``.
    """
    lines = [list(header), *(list(row) for row in rows)]
    to_right, width = set(right), terminal_width() if fit else None
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    if width is not None:
        widths = _narrowed(widths, [i for i in range(len(header)) if i not in to_right], width)
    blocks = [list(range(len(header)))] if width is None else _blocks(widths, width)
    return "\n\n".join(_block(lines, block, widths, to_right) for block in blocks)


def _narrowed(widths: Sequence[int], texts: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns with those of texts reduced, the widest first, until the table fits if it can."""
    widths = list(widths)
    surplus = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while surplus > 0:
        widest = max(texts, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        surplus -= 1
    return widths


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Return the columns of each table, as many as fit; each has the first one, and one more at least."""
    blocks: list[list[int]] = [[0]]
    used = widths[0]
    for i in range(1, len(widths)):
        if used + len(GAP) + widths[i] > width and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(i)
        used += len(GAP) + widths[i]
    return blocks


def _block(lines: Sequence[Sequence[str]], columns: Sequence[int], widths: Sequence[int], right: set[int]) -> str:
    """Return a table of some columns; cells wider than their column take several lines."""
    found = []
    for line in lines:
        cells = [textwrap.wrap(line[i], widths[i]) if len(line[i]) > widths[i] else [line[i]] for i in columns]
        for row in range(max(map(len, cells))):
            parts = [cell[row] if row < len(cell) else "" for cell in cells]
            padded = (
                part.rjust(widths[i]) if i in right else part.ljust(widths[i])
                for i, part in zip(columns, parts, strict=True)
            )
            found.append(GAP.join(padded).rstrip())
    return "\n".join(found)
