"""Vectors that a user gives, with one number for each objective: preferences and reference points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError

Floats = NDArray[np.float64]


def as_vector(
    value: ArrayLike,
    what: str,
    num_objectives: int,
    unit: str,
    objectives: Sequence[str] = (),
    *,
    finite: bool = False,
) -> Floats:
    """Return a vector (R,) of one number for each objective.

    Args:
        value: numbers, or a text of them with spaces or commas between.
        what: what the vector is, for errors: ``a preference``.
        num_objectives: R.
        unit: name of its numbers, for errors: ``weights``.
        objectives: R names for errors, where they are known.
        finite: the numbers have to be finite.

    Raises:
        UserError: something else than R numbers; the message names the objectives.
    """
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    try:
        vector = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise UserError(f"{what} is a list of numbers, not {value!r}") from None
    if vector.ndim != 1:
        raise UserError(f"{what} is one row of {unit}, not an array of shape {vector.shape}")
    each = f"one for each of {', '.join(objectives)}" if objectives else "one an objective"
    given = None
    if len(vector) != num_objectives:
        given = f"{len(vector)} ({text_of(vector)})" if len(vector) else "none"
    elif finite and not np.isfinite(vector).all():
        given = text_of(vector)
    if given is not None:
        raise UserError(f"{what} has {num_objectives} {unit}, {each}, not {given}")
    return vector


def text_of(vector: Floats) -> str:
    """Return the numbers of a vector, with digits enough for a suggestion to pass the check that made it."""
    return " ".join(f"{x:.7g}" for x in vector)
