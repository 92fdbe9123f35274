"""Hyper-parameter search. Needs the ``tune`` extra."""

from __future__ import annotations

from morl.tune.settings import StudySettings
from morl.tune.study import Study, StudyResult

__all__ = ["Study", "StudyResult", "StudySettings"]
