"""Tune's view of where trials come from: the ledger's next trial, and the domains of their settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from morl.search_space import Choice, Integer, Space
from morl.tune.ledger import Ledger
from morl.tune.on_ray.pickling import NotPickled


def trial_number(trial: Any) -> int:
    """Return the number of a trial of Tune's, with which its name begins whatever becomes of its settings."""
    return int(str(trial).partition("_")[0])


def trial_name(trial: Any) -> str:
    """Return the name for a trial of Tune's: its number and Tune's own id."""
    return f"{trial.config['trial']:05}_{trial.trial_id}"


def source(ledger: Ledger, space: Space, population: bool, seed: int) -> tuple[dict[str, Any], Any, int]:
    """Return Tune's parameter space, search algorithm and number of samples (-1: until the algorithm has finished).

    Args:
        ledger: gives the trials. For a population it gives all of them here, as they begin together.
        space: what is searched.
        population: whether population-based training runs them.
        seed: seed of Tune's generator of a population.
    """
    if not population:
        return {}, _algorithm(ledger), -1
    from ray import tune
    from ray.tune.search import BasicVariantGenerator

    points = []
    while (trial := ledger.next()) is not None:
        points.append({"trial": trial.number, **trial.params})
    # Tune wants a domain for each setting, although all values are given
    domains = {"trial": tune.choice(range(len(points) or 1)), **{name: domain(space, name) for name in space}}
    return domains, BasicVariantGenerator(points_to_evaluate=points, random_state=seed), len(points)


def _algorithm(ledger: Ledger) -> Any:
    """Return a search algorithm of Tune's that gives the ledger's trials."""
    from ray.tune.search import Searcher

    class Adapter(NotPickled, Searcher):
        """Suggests the ledger's next trial; the ledger hears of results from the callback."""

        def __init__(self) -> None:
            super().__init__(metric="score", mode="max")

        def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
            return True

        def suggest(self, trial_id: str) -> Any:
            try:
                trial = ledger.next()
            except Exception as error:  # a full disk, or one of the searcher's
                ledger.fail(error)
                return Searcher.FINISHED
            if trial is None:
                return Searcher.FINISHED if ledger.finished else None
            return {"trial": trial.number, **trial.params}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """Do nothing: the callback tells the ledger."""

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).touch()

        def restore(self, checkpoint_path: str) -> None:
            """Do nothing: Tune's way to resume is not used."""

    return Adapter()


def domain(space: Space, name: str) -> Any:
    """Return the domain of a setting as Tune's own kind."""
    from ray import tune

    values = space[name].domain
    if isinstance(values, Choice):
        return tune.choice(list(values.options))
    if isinstance(values, Integer):
        draw = tune.lograndint if values.log else tune.randint
        return draw(values.low, values.high + 1)
    return (tune.loguniform if values.log else tune.uniform)(values.low, values.high)
