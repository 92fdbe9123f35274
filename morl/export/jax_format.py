"""Format of ``jax.export``: StableHLO for CPU, GPU and TPU and any batch size; read by ``jax.export.deserialize``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import export
from numpy.typing import NDArray

from morl.export import Program


def write(program: Program) -> tuple[bytes, Callable[..., NDArray[Any]]]:
    """Write a program; see :class:`morl.export.Written`."""
    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *x.shape), x.dtype) for x in program.traced]
    with program.tracing():
        found = export.export(jax.jit(jax.vmap(program.one)), platforms=("cpu", "cuda", "tpu"))(*shapes)
    content = bytes(found.serialize())
    back = export.deserialize(bytearray(content))

    def act(*arguments: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(back.call(*(a.astype(x.dtype) for a, x in zip(arguments, program.traced, strict=True))))

    return content, act
