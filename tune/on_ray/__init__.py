"""Ray Tune's side of a study: the one package that imports Ray, which it does on first use.

Tune pickles what it is given now and then, for a way to resume that is not used here (see :mod:`morl.tune.journal`).
Objects that hold the ledger are kept out of these pickles (:mod:`morl.tune.on_ray.pickling`).
"""

from __future__ import annotations

from morl.tune.on_ray.connection import cluster
from morl.tune.on_ray.trainables import hold_out
from morl.tune.on_ray.tuner import search

__all__ = ["cluster", "hold_out", "search"]
