"""``morl envs``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from morl.cli.table import table, terminal_width
from morl.errors import UserError
from morl.registry import env_specs

COMMAND = (120, "", "list the environments")
HEADER = ["environment", "runs in", "objectives", "reference point", "what it is"]
HELP = """usage: morl envs

List the environments the library knows: where they run (jax: compiled, host: in Python), what they reward and the
reference point of their hypervolume. Every other environment with a vector reward that Gymnasium or MO-Gymnasium has
registered works by its id too, on the host. A terminal that is too narrow for the table gets a paragraph for each.
"""


def main(args: Sequence[str]) -> int:
    """Print the environments."""
    if args and args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if args:
        raise UserError(f"envs takes no arguments, not {' '.join(args)!r}")
    rows = [
        [
            spec.id,
            spec.backend,
            ", ".join(spec.objective_names),
            " ".join(f"{x:g}" for x in spec.reference_point),
            spec.summary + (f" [needs the '{spec.extra}' extra]" if spec.extra else ""),
        ]
        for spec in env_specs().values()
    ]
    text = table(HEADER, rows, fit=False)
    width = terminal_width()
    if width is not None and max(map(len, text.splitlines())) > width:
        text = "\n".join(_wrapped(row, width) for row in rows)
    print(text)
    return 0


def _wrapped(row: list[str], width: int) -> str:
    """Return a row as a paragraph of lines that fit a terminal: the id, and the rest below."""
    name, backend, objectives, reference, summary = row
    below = (summary, f"objectives: {objectives}", f"reference point: {reference}")
    lines = [line for text in below for line in textwrap.wrap(text, max(20, width - 4))]
    return "\n".join([f"{name} ({backend})", *(f"    {line}" for line in lines)])
