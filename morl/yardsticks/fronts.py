"""Known front of an environment: exact where it can be computed, else published, else the best found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from morl.errors import UserCodeError, UserError
from morl.ops.pareto import non_dominated
from morl.yardsticks import coverage
from morl.yardsticks.stored import stored

Floats = NDArray[np.float64]
Kind = Literal["true", "coverage", "published", "best", "pooled"]

PHRASES: dict[str, str] = {
    "true": "the true front",
    "coverage": "the exact convex coverage set",
    "published": "the published front",
    "best": "the best front found so far",
    "pooled": "the best points of all these runs",
}


@dataclass(frozen=True, eq=False)
class KnownFront:
    """Front that others are measured against; m points, R objectives, all maximised.

    Attributes:
        points: (m, R) discounted returns, none of them dominated.
        kind: ``true`` is computed exactly, and ``coverage`` too, which has the points that are best for some
            preference only; ``published`` may be exceeded; ``best`` is the best found so far; ``pooled`` the best of
            runs that are compared.
        source: where it is from, in words; empty for one that is computed.
    """

    points: Floats
    kind: Kind
    source: str = ""

    @property
    def phrase(self) -> str:
        """Noun phrase for it: ``the true front``."""
        return PHRASES[self.kind]

    @property
    def exact(self) -> bool:
        """Whether no policy can exceed it."""
        return self.kind in ("true", "coverage")

    @cached_property
    def tight_reference(self) -> Floats:
        """Tight reference point (R,); see :func:`morl.yardsticks.coverage.tight_reference`."""
        return coverage.tight_reference(self.points)

    @cached_property
    def single_bests(self) -> Floats:
        """Points (k, R) that are best in one objective each, k at most R; of several the one best in all together."""
        together = (self.points / coverage.span(self.points)).sum(axis=1)
        rows = [max(range(len(self.points)), key=lambda i: (p[i], together[i])) for p in self.points.T]
        return self.points[list(dict.fromkeys(rows))]


def known_front(
    env: Any, gamma: float, num_objectives: int, id: str | None = None, kwargs: Mapping[str, Any] | None = None
) -> KnownFront | None:
    """Return the known front of an environment at a discount, or None.

    Args:
        env: the environment, which may compute its front; None where there is none at hand.
        gamma: the discount.
        num_objectives: R.
        id: the id it was made by, where the library may have a published or best-found front of it.
        kwargs: the keywords it was made with.
    """
    exact: tuple[tuple[str, Kind], ...] = (("true_front", "true"), ("true_coverage_set", "coverage"))
    for method, kind in exact:
        points = _computed(env, method, gamma)
        if points is not None and len(points) and points.shape[1] == num_objectives:
            return KnownFront(points[non_dominated(points, keep_duplicates=False)], kind)
    found = stored(id, kwargs or {}, gamma).front if id is not None else None
    if found is None or found.points.shape[1] != num_objectives:
        return None
    return KnownFront(found.points, "published" if found.kind == "published" else "best", found.source)


def true_front(env: Any, gamma: float) -> Floats | None:
    """Return the exact front (n, R) of an environment at a discount, if it can compute it."""
    return _computed(env, "true_front", gamma)


def _computed(env: Any, method: str, gamma: float) -> Floats | None:
    """Return the front that a method of an environment computes; None where it cannot.

    Raises:
        UserError: it gives something else than finite returns (n, R).
    """
    if getattr(env, method, None) is None:
        return None
    frozen = getattr(getattr(env, "__dataclass_params__", None), "frozen", False)
    try:
        front = _remembered(env, method, gamma) if frozen else _compute(env, method, gamma)
    except UserCodeError:
        raise
    except UserError:  # not for these keywords of the environment
        return None
    from morl.envs.contract import broken_contract, front_violation  # not above: environments load much

    if found := front_violation(front, len(env.objectives)):
        raise broken_contract(env.id, (method, found))
    return np.array(front, np.float64)


def _compute(env: Any, method: str, gamma: float) -> Any:
    return getattr(env, method)(gamma)


@lru_cache(maxsize=16)
def _remembered(env: Any, method: str, gamma: float) -> Any:
    """Return the front of an environment that cannot change; many runs of one environment are read for a comparison."""
    return _compute(env, method, gamma)
