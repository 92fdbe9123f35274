"""Checks of environments: what ``morl check-env`` asks, and a user's own tests can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names

if TYPE_CHECKING:
    from morl.envs.checks.check import check_env as check_env

__getattr__ = lazy_names(__name__, {"check_env": "morl.envs.checks.check:check_env"})
