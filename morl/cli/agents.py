"""``morl agents``."""

from __future__ import annotations

from collections.abc import Sequence

from morl.cli.table import table
from morl.errors import UserError
from morl.registry import agent_specs

COMMAND = (130, "", "list the agents")
HELP = """usage: morl agents

List the agents; `morl train AGENT --help` shows the settings of one.
"""


def main(args: Sequence[str]) -> int:
    """Print the agents."""
    if args and args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if args:
        raise UserError(f"agents takes no arguments, not {' '.join(args)!r}")
    print(table(["agent", "what it is"], [[spec.name, spec.summary] for spec in agent_specs().values()]))
    return 0
