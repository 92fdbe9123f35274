"""A metric of one's own in a package: the utility that the least lucky of the users gets.

``pyproject.toml`` names ``SPEC`` in the entry-point group ``morl.metrics``, so after ``pip install`` it is a metric
like morl's own: a column of ``metrics.csv``, of ``morl evaluate``, ``morl compare`` and ``morl report``::

    pip install examples/own_metric
    morl train cmorl --env deep-sea-treasure-v0 --out run
    morl evaluate run
"""

import numpy as np
from numpy.typing import ArrayLike

import morl


def worst_case_utility(points: ArrayLike, preferences: ArrayLike) -> float:
    """Return the smallest over the preferences of the best preference-weighted return.

    Args:
        points: (n, R) vector returns, all maximised.
        preferences: (K, R) on the simplex.
    """
    return float((np.asarray(points) @ np.asarray(preferences).T).max(axis=0).min())


SPEC = morl.MetricSpec(
    name="worst_case_utility",
    label="WCU",
    summary="worst-case utility",
    sign=1,  # more is better
    entry_point="worst_case:worst_case_utility",
    needs=("preferences",),
)
