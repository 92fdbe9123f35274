"""Which settings matter: PED-ANOVA (Watanabe et al., 2023), by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from morl.search_space import Space
from morl.tune.journal import Trial
from morl.tune.searchers import OptunaSearcher

LEAST = 10  # finished trials before a share means anything


def importances(trials: Mapping[int, Trial], space: Space, settings: Mapping[str, Any]) -> dict[str, float]:
    """By setting, how differently the best tenth of the finished trials are spread over it; shares that add up to 1.

    Of settings that every finished trial searched; conditional ones are left out. Empty with too few trials, or where
    all scores are the same.
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
        warnings.simplefilter("ignore")  # it is called experimental
        found = get_param_importances(searcher.study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(value) for name, value in found.items()}
