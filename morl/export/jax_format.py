"""Format of ``jax.export``: StableHLO for CPU, GPU and TPU and any batch size; read by ``jax.export.deserialize``.

The last line of the file is a description as JSON, which ``deserialize`` does not look at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from numpy.typing import NDArray

from morl.errors import UserError
from morl.export import Program

OLDEST = {10: "0.8"}  # version of JAX that first read a calling convention


def write(program: Program) -> tuple[bytes, Callable[..., NDArray[Any]]]:
    """Write a program; see :class:`morl.export.Written`."""
    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *x.shape), x.dtype) for x in program.traced]
    with program.tracing():
        found = export.export(jax.jit(jax.vmap(program.one)), platforms=("cpu", "cuda", "tpu"))(*shapes)
    convention = found.calling_convention_version
    about = {
        **program.about,
        "jax": jax.__version__,
        "needs_jax": OLDEST.get(convention, jax.__version__),
        "calling_convention": convention,
    }
    content = bytes(found.serialize()) + b"\n" + json.dumps(about).encode()
    back, _ = _read(content)

    def act(*arguments: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(back(*(a.astype(x.dtype) for a, x in zip(arguments, program.traced, strict=True))))

    return content, act


def read(path: str | Path) -> tuple[Callable[..., jax.Array], dict[str, Any]]:
    """Return an exported program as a function of arrays (B, ...), and its description.

    Raises:
        UserError: not such a file, or one that needs a newer JAX.
    """
    try:
        return _read(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _read(content: bytes, name: str = "") -> tuple[Callable[..., jax.Array], dict[str, Any]]:
    program, _, last = content.rpartition(b"\n")
    try:
        about = json.loads(last)
        convention, needs = int(about["calling_convention"]), str(about["needs_jax"])
    except (ValueError, KeyError, TypeError) as error:  # ValueError: no JSON, or no text
        raise UserError(f"{name} is no program that morl export --format jax has written") from error
    if convention > export.maximum_supported_calling_convention_version:
        raise UserError(f"{name} needs JAX {needs} or newer, not {jax.__version__}")
    return export.deserialize(bytearray(program)).call, about
