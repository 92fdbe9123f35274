"""``morl new NAME``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl import skeletons
from morl.parsing import parse
from morl.skeletons import Kind

COMMAND = (125, "NAME [flags]", "write a package with an environment or an agent of your own, and its test")


@dataclass(frozen=True)
class NewOptions:
    """Write a package with a small environment or agent of your own into a new folder: code, entry point, test, README.

    The test trains it for a few seconds.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the package and its folder, such as my-env or my-agent."""
    kind: Kind | None = None
    """Environment or agent; by default as the end of the name tells."""


def main(args: Sequence[str]) -> int:
    """Write the package and print what there is, and what to do next."""
    options = parse(NewOptions, args, prog="morl new")
    skeletons.check_name(options.name)
    kind = options.kind or skeletons.kind_of(options.name)
    for path in skeletons.write(options.name, kind, Path()):
        print(path)
    print(f"next: cd {options.name} && python -m pytest")
    return 0
