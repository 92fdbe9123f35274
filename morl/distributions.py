"""Old path of :mod:`morl.ops.distributions`, whose names it has."""

from __future__ import annotations

from morl.ops.distributions import ActionDistribution as ActionDistribution
from morl.ops.distributions import Categorical as Categorical
from morl.ops.distributions import DiagonalNormal as DiagonalNormal
from morl.ops.distributions import MultiCategorical as MultiCategorical
from morl.ops.distributions import for_space as for_space
