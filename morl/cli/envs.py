"""``morl envs``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from morl.cli.table import table, terminal_width
from morl.errors import UserError, unknown_name
from morl.registry import SUITES, env_specs

COMMAND = (120, "[SUITE]", "list the environments, or those of another suite")
HEADER = ["environment", "runs in", "objectives", "reference point", "what it is"]
HELP = """usage: morl envs [SUITE]

List the environments the library knows: where they run (jax: compiled, host: in Python), what they reward and the
reference point of their hypervolume. Every other environment with a vector reward that Gymnasium or MO-Gymnasium has
registered works by its id too, on the host. A terminal that is too narrow for the table gets a paragraph for each.
With the name of a suite that is installed, such as gymnax, list the ids of its environments.
"""


def main(args: Sequence[str]) -> int:
    """Print the environments, or those of a suite."""
    if args and args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if len(args) > 1 or (args and args[0].startswith("-")):
        raise UserError(f"envs takes at most the name of a suite, not {' '.join(args)!r}")
    if args:
        print("\n".join(_of_suite(args[0].rstrip(":"))))
        return 0
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
    suites = [
        [f"{suite.name}:NAME", suite.summary + ("" if suite.installed else f" [needs the '{suite.name}' extra]")]
        for suite in SUITES.values()
    ]
    print(f"{text}\n{table(['of other suites', 'morl envs SUITE lists them'], suites)}")
    return 0


def _of_suite(name: str) -> list[str]:
    """Return the ids of the environments of a suite.

    Raises:
        UserError: unknown suite.
        MissingExtraError: it is not installed.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    from morl.envs.suites.adapter import environments

    return [f"{name}:{each}" for each in environments(SUITES[name])]


def _wrapped(row: list[str], width: int) -> str:
    """Return a row as a paragraph of lines that fit a terminal: the id, and the rest below."""
    name, backend, objectives, reference, summary = row
    below = (summary, f"objectives: {objectives}", f"reference point: {reference}")
    lines = [line for text in below for line in textwrap.wrap(text, max(20, width - 4))]
    return "\n".join([f"{name} ({backend})", *(f"    {line}" for line in lines)])
