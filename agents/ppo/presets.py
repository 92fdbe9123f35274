"""Published constants of the gradient schedule, ``--preset dynamic-weights`` and ``dynamic-weights-slow``.

Of Lu et al. (2025, arXiv 2509.11452): learning rate η = 1e-6, and μ = 1e-5 or 1e-4 (only η / μ counts), weights that
start even, no pull, no floor, and PPO without its clipping.
"""

from __future__ import annotations

from typing import Any

_PUBLISHED: dict[str, Any] = {
    "weight_schedule": "gradient",
    "weight_start": "uniform",
    "weight_normalise": False,
    "weight_pull": 0.0,
    "weight_floor": 0.0,
    "clip_eps": 1e6,  # no ratio is clipped
}


def dynamic_weights(env: str) -> dict[str, Any]:
    """Return the settings for μ = 1e-5 by name; they are the same for all environments."""
    return {**_PUBLISHED, "weight_rate": 0.1}


def dynamic_weights_slow(env: str) -> dict[str, Any]:
    """Return the settings for μ = 1e-4 by name."""
    return {**_PUBLISHED, "weight_rate": 0.01}
