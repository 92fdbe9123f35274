"""Hyper-parameter search. Needs the ``tune`` extra.

Importing this loads no JAX. A trial imports :mod:`morl.tune.worker`, which sets its cores, its device and the cache of
compiled programs before JAX reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names

if TYPE_CHECKING:
    from morl.tune.run import run_study
    from morl.tune.settings import StudySettings
    from morl.tune.study import Study, StudyResult

__all__ = ["Study", "StudyResult", "StudySettings", "run_study"]

__getattr__ = lazy_names(
    __name__,
    {
        "Study": "morl.tune.study:Study",
        "StudyResult": "morl.tune.study:StudyResult",
        "StudySettings": "morl.tune.settings:StudySettings",
        "run_study": "morl.tune.run:run_study",
    },
)
