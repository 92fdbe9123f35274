"""Settings of GMORL for rewards that are far away, as minecart's ore and the deep treasures are."""

from __future__ import annotations

from typing import Any


def protocol(env: str) -> dict[str, Any]:
    """Settings by name, for any environment.

    Ten rewards are summed before the critic takes over. They ask for what was done for the preference that is learnt
    for, so nothing is relabelled. The higher temperature goes on trying what seems to be worth nothing.
    """
    return {"n_step": 10, "temperature": 0.2, "hindsight": False}
