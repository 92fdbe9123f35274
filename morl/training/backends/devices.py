"""Choice of the devices that JAX runs on."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax

from morl.envs.host.threads import available_cores
from morl.errors import UserError
from morl.settings import Device
from morl.types import Actor, SharesBatches


def reserve(split: bool = True) -> None:
    """Reserve one virtual device a core on CPU, as XLA uses the cores of one device poorly; or one in all.

    ``split`` is :attr:`morl.registry.AgentSpec.split_cores`. To be called before anything uses JAX, environments made
    by the user included; afterwards the number is fixed, and this does nothing.
    """
    with contextlib.suppress(RuntimeError):  # JAX is in use already
        jax.config.update("jax_num_cpu_devices", available_cores() if split else 1)


def choose(device: Device, num_learners: int, split: bool = True, learner: Actor | None = None) -> list[jax.Device]:
    """Return the devices to split ``num_learners`` policies over; of virtual ones only the first unless ``split``.

    Of virtual ones there are up to two for each policy of a learner that shares its batches.

    Raises:
        UserError: JAX has no such device here.
    """
    try:
        found = list(jax.devices(None if device == "auto" else device))
    except RuntimeError as error:
        raise UserError(
            f"device {device!r} is not available to JAX here; available: {jax.default_backend()}"
        ) from error
    if found[0].platform != "cpu":
        return found[:num_learners]
    return found[: devices_each(learner, num_learners, len(found)) * num_learners if split else 1]


def devices_each(learner: Actor | None, num_learners: int, number: int) -> int:
    """Return on how many of a number of devices each policy is: 2 where it shares its batches and they suffice."""
    return 2 if number >= 2 * num_learners and isinstance(learner, SharesBatches) else 1


def quick_to_compile(platform: str | None = None) -> dict[str, Any] | None:
    """Return options of ``jax.jit`` for our programs on this platform, by default JAX's own.

    LLVM's first level compiles them for a CPU in a third of the time, and they run as fast. (Without XLA's newer
    emitter of loops compiling would take a third less again, but minecart's updates 1.7 times as long.) A level that
    the user has set in ``XLA_FLAGS`` stays.
    """
    if "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", ""):
        return None
    return {"xla_backend_optimization_level": 1} if (platform or jax.default_backend()) == "cpu" else None
