"""``morl envs``."""

from __future__ import annotations

from collections.abc import Sequence

from morl.cli.table import table
from morl.errors import UserError
from morl.registry import env_specs

COMMAND = (120, "", "list the environments")
HELP = """usage: morl envs

List the environments the library knows: where they run (jax: compiled, host: in Python), what they reward and the
reference point of their hypervolume. Every other environment with a vector reward that Gymnasium or MO-Gymnasium has
registered works by its id too, on the host.
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
    print(table(["environment", "runs in", "objectives", "reference point", "what it is"], rows))
    return 0
