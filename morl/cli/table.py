"""Plain tables for the terminal and for pipes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Return a table with columns aligned by spaces; those whose numbers are in ``right`` to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    to_right = set(right)

    def pad(i: int, text: str) -> str:
        return text.rjust(widths[i]) if i in to_right else text.ljust(widths[i])

    return "\n".join("  ".join(pad(i, text) for i, text in enumerate(line)).rstrip() for line in lines)
