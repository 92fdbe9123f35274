"""Tune's schedulers: successive halving that remembers earlier sessions, and population-based training in step."""

from __future__ import annotations

import math
import random
from typing import Any

from morl.search_space import Choice, Space
from morl.tune.journal import Trial
from morl.tune.ledger import Ledger
from morl.tune.on_ray.pickling import NotPickled
from morl.tune.on_ray.proposals import domain
from morl.tune.settings import StudySettings


def scheduler(settings: StudySettings, space: Space, budget: int, ledger: Ledger) -> Any:
    """Return the scheduler that the settings name.

    Args:
        settings: those of the study.
        space: what is searched.
        budget: environment steps of a whole training.
        ledger: knows the trials of earlier sessions.
    """
    from ray.tune import schedulers

    if settings.scheduler == "none":
        return schedulers.FIFOScheduler()
    if settings.scheduler == "asha":
        return _successive_halving(settings, budget, ledger)
    return _population(settings, space, budget)


def _successive_halving(settings: StudySettings, budget: int, ledger: Ledger) -> Any:
    """Return asynchronous successive halving (Li et al., 2020, ASHA) by environment steps.

    Its last rung is at half of the budget at most: from there a trial costs less to finish than another one to begin.
    """
    from ray.tune import schedulers

    first = max(1, math.ceil(settings.first_rung * budget))

    class Halving(NotPickled, schedulers.ASHAScheduler):
        """Is told of the trials of earlier sessions once it knows the metric, so that its rungs are as they were."""

        def set_search_properties(self, *args: Any, **more: Any) -> bool:
            known: bool = super().set_search_properties(*args, **more)
            _replay(self, ledger)
            return known

    return Halving(
        time_attr="steps",
        grace_period=first,
        max_t=max(first, budget // 2),
        reduction_factor=settings.reduction,
        stop_last_trials=False,
    )


def _population(settings: StudySettings, space: Space, budget: int) -> Any:
    """Return population-based training (Jaderberg et al., 2017) with all trials in step.

    Out of step, a trial that is ahead would be set back to where the others are again and again.
    """
    from ray.tune import schedulers

    def within(config: dict[str, Any]) -> dict[str, Any]:
        for name, parameter in space.items():
            if not isinstance(parameter.domain, Choice):
                config[name] = min(max(config[name], parameter.domain.low), parameter.domain.high)
        return config

    class Population(NotPickled, schedulers.PopulationBasedTraining):
        """Goes on where the trial that all others wait for has failed or finished."""

        def choose_trial_to_run(self, controller: Any) -> Any:
            chosen = super().choose_trial_to_run(controller)
            states = {trial.status for trial in controller.get_live_trials()}
            if chosen is None and states == {"PAUSED"}:
                self._next_perturbation_sync += self._perturbation_interval
                chosen = super().choose_trial_to_run(controller)
            return chosen

    random.seed(settings.search_seed)  # Tune's perturbations draw from it
    return Population(
        time_attr="steps",
        synch=True,
        perturbation_interval=budget // (settings.perturbations + 1) + 1,  # + 1: none at the end
        hyperparam_mutations={name: domain(space, name) for name in space},
        custom_explore_fn=within,
        log_config=False,
        require_attrs=False,
    )


def _replay(halving: Any, ledger: Ledger) -> None:
    """Tell successive halving of trials that have ended."""
    ended = [trial for trial in ledger.journal.trials.values() if trial.state != "started" and trial.reports]
    for trial in ended:
        past = _PastTrial(trial)
        halving.on_trial_add(None, past)
        for steps, score in sorted(trial.reports.items()):
            halving.on_trial_result(None, past, {"steps": steps, "score": score})
        halving.on_trial_remove(None, past)


class _PastTrial:
    """Stand-in for a trial of Tune's, with all that successive halving looks at."""

    def __init__(self, trial: Trial) -> None:
        self.trial_id = f"past-{trial.number}"
