"""Saving and loading of policies. The one file that knows Orbax; it stores arrays only, nothing that could run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from morl.errors import UserError
from morl.types import PyTree


def save(path: Path, tree: PyTree) -> None:
    """Write a pytree of arrays to a new directory; it appears whole or not at all."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), jax.tree.map(np.asarray, tree))


def load(path: Path, like: PyTree) -> Any:
    """Read a pytree of the shapes and dtypes of ``like``, as NumPy arrays.

    Raises:
        UserError: nothing there, damaged, or of other shapes.
    """
    import orbax.checkpoint as ocp

    if not path.is_dir():
        raise UserError(f"no checkpoint at {path}")
    template = jax.tree.map(lambda x: np.empty(np.shape(x), np.asarray(x).dtype), like)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(path.absolute(), template)
    except (ValueError, KeyError, OSError) as error:
        reason = "it is damaged, or does not hold what the run's config.yaml describes"
        raise UserError(f"cannot read the checkpoint {path}: {reason}") from error
    for (where, wanted), got in zip(jax.tree.leaves_with_path(template), jax.tree.leaves(restored), strict=True):
        if wanted.shape != got.shape or wanted.dtype != got.dtype:
            raise UserError(
                f"cannot read the checkpoint {path}: {jax.tree_util.keystr(where)} is {got.dtype}{list(got.shape)}, "
                f"and the run's config.yaml wants {wanted.dtype}{list(wanted.shape)}"
            )
    return restored
