"""Where JAX runs."""

from __future__ import annotations

import contextlib
import os

import jax

from morl.errors import UserError
from morl.settings import Device


def reserve() -> None:
    """One virtual device a core on CPU, as XLA uses the cores of one device poorly.

    To be called before anything uses JAX, environments made by the user included; afterwards the number is fixed, and
    this does nothing.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):  # JAX is in use already
        jax.config.update("jax_num_cpu_devices", cores)


def choose(device: Device, num_learners: int) -> list[jax.Device]:
    """The devices to split ``num_learners`` policies over.

    Raises:
        UserError: JAX has no such device here.
    """
    try:
        return list(jax.devices(None if device == "auto" else device))[:num_learners]
    except RuntimeError as error:
        raise UserError(
            f"device {device!r} is not available to JAX here; available: {jax.default_backend()}"
        ) from error
