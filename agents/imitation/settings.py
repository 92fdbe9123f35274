"""Settings of a warm start that agents share, and their checks; imports no JAX."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from morl.errors import UserError
from morl.validation import check_integer

STEPS = 20_000  # default of warm_start_steps


class WarmStartSettings(Protocol):
    """Settings of an agent that can be warm-started."""

    @property
    def warm_start(self) -> Path | None: ...
    @property
    def warm_start_steps(self) -> int: ...
    @property
    def num_envs(self) -> int: ...
    @property
    def rollout_steps(self) -> int: ...


def check_warm_start(config: WarmStartSettings) -> None:
    """Raise UserError for steps of a warm start without one, or fewer than one."""
    check_integer(config, "warm_start_steps", low=1)
    if config.warm_start is None and config.warm_start_steps != STEPS:
        raise UserError("warm_start_steps needs warm_start, the run whose policies act for so many steps")
