"""Optax's optimisers, with numbers that do not depend on JAX's dtype modes."""

from __future__ import annotations

from typing import Any

import jax
import optax

from morl.types import PyTree


def in_float32(optimiser: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return an optimiser of the same steps in every dtype mode of JAX.

    Optax raises Python numbers to the power of its int32 counters. JAX refuses that with
    ``jax_numpy_dtype_promotion="strict"`` and computes it in float64 with ``jax_enable_x64``.
    """

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[Any, Any]:
        with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
            changed: tuple[Any, Any] = optimiser.update(updates, state, params)
            return changed

    return optax.GradientTransformation(optimiser.init, update)
