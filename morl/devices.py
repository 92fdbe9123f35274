"""Where JAX runs."""

from __future__ import annotations

import contextlib
import os

import jax

from morl.errors import UserError
from morl.settings import Device


def choose(device: Device, num_learners: int) -> list[jax.Device]:
    """The devices to split ``num_learners`` policies over.

    On a CPU there is one virtual device a core (XLA uses the cores of one device poorly), unless JAX has been used in
    this process before: their number is fixed then.

    Raises:
        UserError: JAX has no such device here.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):  # JAX is in use already
        jax.config.update("jax_num_cpu_devices", max(1, min(cores, num_learners)))
    try:
        return list(jax.devices(None if device == "auto" else device))
    except RuntimeError as error:
        raise UserError(
            f"device {device!r} is not available to JAX here; available: {jax.default_backend()}"
        ) from error
