"""``morl check-env ID``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from morl.errors import UserError
from morl.parsing import parse
from morl.registry import Backend
from morl.settings import EnvKwargs

COMMAND = (110, "ID [flags]", "check an environment, your own for example, and print what to fix")


@dataclass(frozen=True)
class CheckOptions:
    """Check that an environment keeps to its contract and which agents can train on it, and print what to fix.

    The exit code is 1 if there is anything to fix, such as that no agent can train.
    """

    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")]
    """Environment id, or module:id to import the module that registers it first."""
    backend: Backend | None = None
    """Back-end to check, of an environment that has two."""
    env_kwargs: EnvKwargs = field(default_factory=dict)
    """Keywords of the environment, name and value in turn; lists and mappings as YAML: depth 7 prices "[1, 2]"."""
    seed: int = 0
    """Seed of resets, keys and actions."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31 - 1:
            raise UserError(f"seed must be at least 0 and at most {2**31 - 2}, not {self.seed}")


def main(args: Sequence[str]) -> int:
    """Check the environment and print the findings."""
    options = parse(CheckOptions, args, prog="morl check-env")
    from morl.envs.checks.check import check_env

    report = check_env(options.env, options.backend, options.seed, options.env_kwargs)
    print(report)
    number = sum(finding.status == "fix" for finding in report.findings)
    print(f"{options.env}: {f'{number} to fix' if number else 'nothing to fix'}")
    return int(not report.passed())
