"""Preferences: weights of the objectives, at least 0 and with a sum of 1."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.ops.vectors import as_vector, text_of

if TYPE_CHECKING:
    import jax

Floats = NDArray[np.float64]
MOST_PREFERENCES = 1_000_000
ONE_SIDED = 0.01  # ratio of two objectives' ranges


def check_preference(preference: ArrayLike, num_objectives: int, objectives: Sequence[str] = ()) -> Floats:
    """Return the preference as an array (R,).

    Args:
        preference: R weights, or a text of them.
        num_objectives: R.
        objectives: their names for errors, where they are known.

    Raises:
        UserError: not R numbers, a number below 0 or not finite, or a sum that is not 1 (within 1e-6).
    """
    weights = as_vector(preference, "a preference here", num_objectives, "weights", objectives)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise UserError(f"the weights of a preference are finite and at least 0, not {text_of(weights)}")
    total = float(weights.sum())
    if abs(total - 1) > 1e-6:
        hint = f"; did you mean {text_of(weights / total)}?" if total > 0 else ""
        raise UserError(f"the weights of a preference add up to 1, not {total:.9g}{hint}")
    return weights


def lattice(num_objectives: int, divisions: int) -> Floats:
    """Return all preferences whose weights are multiples of 1 / ``divisions`` (Das and Dennis, 1998), (n, R).

    Raises:
        UserError: more than a million preferences.
    """
    size = _lattice_size(num_objectives, divisions)
    if size > 1_000_000:
        raise UserError(f"a lattice of {num_objectives} objectives, {divisions} steps each, has {size:,} preferences")
    bars = itertools.combinations(range(divisions + num_objectives - 1), num_objectives - 1)
    edges = np.array([(-1, *bar, divisions + num_objectives - 1) for bar in bars])
    return (np.diff(edges, axis=1) - 1)[::-1] / divisions


def simplex_lattice(num_objectives: int, step: float) -> Floats:
    """Return the lattice of preferences ``step`` apart, (n, R), as C-MORL's published settings name it.

    Step 1 gives the corners. A step that does not divide 1 (the published 0.3) is replaced by 1 over the nearest whole
    number.

    Raises:
        UserError: a step outside (0, 1], or one so small that there are more than a million preferences.
    """
    if not 0 < step <= 1:
        raise UserError(f"the step of a lattice of preferences is above 0 and at most 1, not {step}")
    return lattice(num_objectives, round(1 / step))


def _lattice_size(num_objectives: int, divisions: int) -> int:
    return comb(divisions + num_objectives - 1, num_objectives - 1)


def _smallest_lattice(num_objectives: int, number: int) -> Floats:
    """Return the smallest lattice of at least ``number`` points."""
    divisions = 1
    while _lattice_size(num_objectives, divisions) < number:
        divisions += 1
    return lattice(num_objectives, divisions)


def equally_spaced_weights(num_objectives: int, number: int) -> Floats:
    """Return ``number`` preferences, equally spaced over the simplex, (number, R); corners first where they fit.

    Where a lattice has that many points, the result is that lattice. Otherwise a finer one is thinned: starting from
    the corners, the point farthest from those taken already is taken next (Gonzalez, 1985). A copy of the lattice,
    shrunk by half towards the centre, is added to choose from, since with many objectives a lattice lies mostly on the
    boundary (as Deb and Jain, 2014, section V). One preference alone is the centre. The result is deterministic.

    Raises:
        UserError: a number below 1, or above a million.
    """
    if not 1 <= number <= MOST_PREFERENCES:
        raise UserError(f"the number of preferences is from 1 to {MOST_PREFERENCES:,}, not {number:,}")
    centre = np.full((1, num_objectives), 1 / num_objectives)
    if number == 1 or num_objectives == 1:
        return np.repeat(centre, number, axis=0)
    corners = np.eye(num_objectives)[:number]
    exact = _smallest_lattice(num_objectives, number)
    if len(exact) == number:
        return np.concatenate([corners, exact[exact.max(axis=1) < 1]])
    fine = _smallest_lattice(num_objectives, 20 * number)
    pool = np.concatenate([fine, (fine + centre) / 2])
    taken = list(corners)
    distance = np.linalg.norm(pool[:, None] - corners, axis=2).min(axis=1)
    while len(taken) < number:
        farthest = pool[np.argmax(distance.round(9))]  # rounded, so that ties go to the first on any machine
        taken.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(pool - farthest, axis=1))
    return np.array(taken)


def dirichlet(key: jax.Array, num_objectives: int, number: int, concentration: float = 1.0) -> jax.Array:
    """Draw preferences from a symmetric Dirichlet distribution, (number, R) float32.

    Args:
        key: random key.
        num_objectives: R.
        number: number of preferences.
        concentration: 1 is uniform on the simplex, less favours the corners, more the centre.

    Raises:
        UserError: a concentration that is not above 0.
    """
    import jax
    import jax.numpy as jnp

    if not 0 < concentration < float("inf"):
        raise UserError(f"the concentration of random preferences is above 0 and finite, not {concentration}")
    return jax.random.dirichlet(key, jnp.full(num_objectives, concentration, jnp.float32), (number,), dtype=jnp.float32)


def check_concentration(numbers: Sequence[float]) -> None:
    """Check the ``preference_concentration`` of a Dirichlet distribution.

    Raises:
        UserError: no numbers, or one that is not above 0 and finite.
    """
    if not numbers or not all(0 < x <= np.finfo(np.float32).max for x in numbers):
        raise UserError(f"preference_concentration must be greater than 0 and finite, not {numbers}")


def concentrations(numbers: tuple[float, ...], num_objectives: int) -> tuple[float, ...]:
    """Return the concentration of each of R objectives, given one for all or one for each.

    Raises:
        UserError: neither one number nor R.
    """
    if len(numbers) not in (1, num_objectives):
        raise UserError(
            f"preference_concentration must be one number or {num_objectives}, one an objective, not {len(numbers)}"
        )
    return numbers * num_objectives if len(numbers) == 1 else numbers


def dirichlet_and_corners(key: jax.Array, concentration: Sequence[float], corner_share: float) -> jax.Array:
    """Draw a preference (R,) float32: one of the corners by chance, else from a Dirichlet distribution.

    Args:
        key: random key.
        concentration: R numbers above 0; all 1 is uniform on the simplex, less favours the corners.
        corner_share: probability of a corner, each as likely as the others.
    """
    import jax
    import jax.numpy as jnp

    key_inside, key_which, key_corner = jax.random.split(key, 3)
    size = len(concentration)
    if all(number == 1 for number in concentration):  # normalised exponentials: no rejections, so fast in a batch
        parts = jax.random.exponential(key_inside, (size,), dtype=jnp.float32)
        inside = parts / jnp.maximum(jnp.sum(parts), np.finfo(np.float32).tiny)
    else:
        inside = jax.random.dirichlet(key_inside, jnp.asarray(concentration, jnp.float32), dtype=jnp.float32)
    corner = jax.nn.one_hot(jax.random.randint(key_corner, (), 0, size, jnp.int32), size, dtype=jnp.float32)
    return jnp.where(jax.random.uniform(key_which, dtype=jnp.float32) < corner_share, corner, inside)


def explain_one_sided(returns: ArrayLike, objectives: Sequence[str]) -> str | None:
    """Return a line where weighted sums of returns (n, R) are of one objective alone; None where they are not.

    That is where another one's range is below a hundredth of its range, the distance of equally spread preferences.

    Args:
        returns: of the policies of a front, in the units that preferences weigh.
        objectives: R names.
    """
    span = np.ptp(np.asarray(returns, np.float64), axis=0)
    least, most = int(span.argmin()), int(span.argmax())
    if not 0 < span[least] < ONE_SIDED * span[most]:
        return None
    small, large = objectives[least], objectives[most]
    return (
        f"preferences weigh returns in the environment's units, in which {small} spans {span[least]:.3g} and {large} "
        f"{span[most]:.3g}: between the corners all serve {large}; try --preference-units scaled"
    )
