"""Searchers, which propose the settings of the next trial. They know no Ray.

A searcher knows only the trials it was told of. To resume one, tell it the trials of the journal again.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from morl.errors import MissingExtraError, UserError
from morl.search_space import Choice, Domain, Integer, Space, label, walk
from morl.tune.journal import Trial

STARTUP = 10  # random trials before the model of the scores is used


class Searcher(Protocol):
    """Proposes settings, and learns from trials that have ended."""

    def propose(self, number: int) -> dict[str, Any]:
        """Return settings for the trial of this number."""
        ...

    def learn(self, trial: Trial) -> None:
        """Learn from a trial that has ended, proposed here or not."""
        ...


class OptunaSearcher:
    """Optuna's sampler, ``tpe`` or ``random``, on a space with conditions.

    Pruned trials count with their last reported score; failed ones do not count.

    Args:
        kind: name of the sampler.
        space: what is searched.
        settings: the agent's settings by name.
        seed: seed of the proposals.

    Raises:
        MissingExtraError: Optuna is not installed.
    """

    def __init__(self, kind: str, space: Space, settings: Mapping[str, Any], seed: int) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise MissingExtraError(f"searcher {kind}", "tune")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._space, self._settings = optuna, space, settings
        self._kind, self._seed = kind, seed
        self._open: dict[int, Any] = {}
        self.study: Any = optuna.create_study(direction="maximize", sampler=self._sampler(0))

    def _sampler(self, number: int) -> Any:
        """Return a sampler seeded by the trial's number, so that a resumed study goes on as it would have."""
        seed = hash((self._seed, number - 1)) % 2**31
        if self._kind == "random":
            return self._optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant_liar (other proposals for trials side by side) is experimental
            return self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)

    def propose(self, number: int) -> dict[str, Any]:
        """Return settings for the trial of this number."""
        self.study.sampler = self._sampler(number)
        trial = self.study.ask()
        self._open[number] = trial

        def choose(name: str, domain: Domain) -> Any:
            if isinstance(domain, Choice):
                return domain.options[domain.labels.index(trial.suggest_categorical(name, domain.labels))]
            suggest = trial.suggest_int if isinstance(domain, Integer) else trial.suggest_float
            return suggest(name, domain.low, domain.high, log=domain.log)

        return walk(self._space, self._settings, choose)

    def learn(self, trial: Trial) -> None:
        """Learn from a trial that has ended."""
        states = self._optuna.trial.TrialState
        state = {"finished": states.COMPLETE, "pruned": states.PRUNED}.get(trial.state, states.FAIL)
        if state is states.PRUNED and not trial.reports:
            state = states.FAIL
        if (asked := self._open.pop(trial.number, None)) is not None:  # added below, with its reports
            self.study.tell(asked, state=states.FAIL)
        if state is states.FAIL:
            return
        distributions, params = {}, {}
        for name, value in trial.params.items():
            domain = self._space[name].domain if name in self._space else None
            if domain is None or value not in domain:
                continue  # of another space; its other settings still count
            distributions[name] = self._distribution(domain)
            params[name] = label(value) if isinstance(domain, Choice) else value
        self.study.add_trial(
            self._optuna.trial.create_trial(
                state=state,
                value=trial.score if state is states.COMPLETE else None,
                params=params,
                distributions=distributions,
                intermediate_values={step: score for step, score in trial.reports.items() if math.isfinite(score)},
            )
        )

    def _distribution(self, domain: Domain) -> Any:
        d = self._optuna.distributions
        if isinstance(domain, Choice):
            return d.CategoricalDistribution(domain.labels)
        kind = d.IntDistribution if isinstance(domain, Integer) else d.FloatDistribution
        return kind(domain.low, domain.high, log=domain.log)


class BohbSearcher:
    """Model of BOHB (Falkner et al., 2018) by hpbandster: densities of good and bad settings for each budget.

    Budgets are environment steps. BOHB ends trials by synchronous HyperBand; here the scheduler ends them, and the
    model learns their scores at each rung.

    Args:
        space: what is searched.
        settings: the agent's settings by name.
        seed: seed of the proposals; sets NumPy's global one, from which hpbandster draws.

    Raises:
        UserError: hpbandster or ConfigSpace is not installed.
    """

    def __init__(self, space: Space, settings: Mapping[str, Any], seed: int) -> None:
        if importlib.util.find_spec("hpbandster") is None or importlib.util.find_spec("ConfigSpace") is None:
            raise UserError(
                "searcher bohb needs the packages hpbandster and ConfigSpace: pip install hpbandster ConfigSpace"
            )
        import numpy as np
        from hpbandster.optimizers.config_generators.bohb import BOHB

        self._space, self._settings = space, settings
        np.random.seed(seed)  # noqa: NPY002  # hpbandster draws from it
        self._model: Any = BOHB(_config_space(space, settings, seed), min_points_in_model=len(space) + 1)
        self._proposed: dict[int, Any] = {}

    def propose(self, number: int) -> dict[str, Any]:
        """Return settings for the trial of this number."""
        drawn, _ = self._model.get_config(None)

        def choose(name: str, domain: Domain) -> Any:
            if isinstance(domain, Choice):
                return domain.options[domain.labels.index(str(drawn[name]))]
            value = int(drawn[name]) if isinstance(domain, Integer) else float(drawn[name])
            return min(max(value, domain.low), domain.high)

        return walk(self._space, self._settings, choose)

    def learn(self, trial: Trial) -> None:
        """Learn from a trial that has ended."""
        if trial.state == "failed" or any(name not in self._space for name in trial.params):
            return
        known = {
            name: label(value) if isinstance(self._space[name].domain, Choice) else value
            for name, value in trial.params.items()
        }
        budgets = dict(trial.reports)
        if trial.state == "finished":
            budgets[int(trial.result["steps"])] = trial.score
        for steps, score in budgets.items():
            if math.isfinite(score):
                self._model.new_result(_Job(known, steps, -score))


class _Job:
    """Result in hpbandster's form."""

    def __init__(self, config: dict[str, Any], budget: int, loss: float) -> None:
        self.result, self.exception = {"loss": loss}, None
        self.kwargs = {"config": config, "budget": float(budget)}


def _config_space(space: Space, settings: Mapping[str, Any], seed: int) -> Any:
    """Return the space in ConfigSpace's form; conditions on settings that are not searched are resolved here."""
    import ConfigSpace

    made = ConfigSpace.ConfigurationSpace(seed=seed)
    known: dict[str, Any] = {}
    for name, parameter in space.items():
        decided = {other: allowed for other, allowed in parameter.when.items() if other not in known}
        if not all(settings[other] in allowed for other, allowed in decided.items()):
            continue
        domain = parameter.domain
        if isinstance(domain, Choice):
            known[name] = ConfigSpace.CategoricalHyperparameter(name, domain.labels)
        else:
            kind = ConfigSpace.Integer if isinstance(domain, Integer) else ConfigSpace.Float
            known[name] = kind(name, (domain.low, domain.high), log=domain.log)
        made.add(known[name])
        conditions = [
            ConfigSpace.InCondition(known[name], known[other], list(map(label, allowed)))
            for other, allowed in parameter.when.items()
            if other in known and isinstance(space[other].domain, Choice)
        ]
        if conditions:
            made.add(conditions[0] if len(conditions) == 1 else ConfigSpace.AndConjunction(*conditions))
    return made


def make(kind: str, space: Space, settings: Mapping[str, Any], seed: int) -> Searcher:
    """Return the searcher of a name.

    Args:
        kind: ``tpe``, ``random`` or ``bohb``.
        space: what is searched.
        settings: the agent's settings by name.
        seed: seed of the proposals.

    Raises:
        UserError: it needs a package that is not installed.
    """
    if kind == "bohb":
        return BohbSearcher(space, settings, seed)
    return OptunaSearcher(kind, space, settings, seed)
