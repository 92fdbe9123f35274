"""Checks of environments, for ``morl check-env`` and for a user's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names

if TYPE_CHECKING:
    from morl.envs.checks.check import check_env as check_env

__getattr__ = lazy_names(__name__, {"check_env": "morl.envs.checks.check:check_env"})
