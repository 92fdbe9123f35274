"""Hyper-parameter search. Needs the ``tune`` extra.

Importing this loads no JAX. A trial imports :mod:`morl.tune.worker`, which sets its cores, its device and the cache of
compiled programs before JAX reads them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morl.tune.settings import StudySettings
    from morl.tune.study import Study, StudyResult

__all__ = ["Study", "StudyResult", "StudySettings"]

_PLACES = {"Study": "study", "StudyResult": "study", "StudySettings": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"morl.tune.{_PLACES[name]}"), name)
