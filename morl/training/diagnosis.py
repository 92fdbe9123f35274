"""Diagnosis of a training that cannot be traced, for which a user's own environment is often the reason."""

from __future__ import annotations

from typing import Any

from morl.envs.contract import violations


def environment_fault(env: Any) -> str | None:
    """Return the first way in which a functional environment breaks its contract, as ``morl check-env`` tells it."""
    found = violations(env)
    return ": ".join(found[0]) if found else None
