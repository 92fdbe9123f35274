"""Importance of settings by PED-ANOVA (Watanabe et al., 2023), computed by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from morl.search_space import Space
from morl.tune.journal import Trial
from morl.tune.searchers import OptunaSearcher

LEAST = 10  # number of finished trials below which a share means nothing


def importances(trials: Mapping[int, Trial], space: Space, settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the importance of each setting, as shares that add up to 1.

    It measures how differently the best tenth of the finished trials is distributed over the setting's domain than all
    of them. Settings that some finished trial did not search (conditional ones) are left out.

    Args:
        trials: all trials by number.
        space: what is searched.
        settings: the agent's settings by name.

    Returns:
        shares by name; empty with fewer than :data:`LEAST` finished trials, or where all scores are equal.
    """
    finished = [trial for trial in trials.values() if trial.state == "finished"]
    complete = [trial for trial in finished if trial.params]
    if len(complete) < LEAST or len({trial.score for trial in complete}) < 2:
        return {}
    searcher = OptunaSearcher("random", space, settings, 0)
    for trial in complete:
        searcher.learn(trial)
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns that it is experimental
        found = get_param_importances(searcher.study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(value) for name, value in found.items()}
