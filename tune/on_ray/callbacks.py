"""Tune's events handed to the ledger, and the ledger's wish to stop handed to Tune."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from morl.errors import UserError
from morl.tune.ledger import Ledger
from morl.tune.on_ray import failures
from morl.tune.on_ray.pickling import NotPickled
from morl.tune.on_ray.proposals import trial_number


def callback(ledger: Ledger, population: bool) -> Any:
    """Return a callback that tells the ledger of reports and ends of trials.

    Args:
        ledger: is told.
        population: whether settings change on the way, so that a trial's last ones count.
    """
    from ray import tune

    class Callback(NotPickled, tune.Callback):
        """Tells the ledger."""

        _nodes: frozenset[str] = frozenset()  # machines that were alive when a trial last started

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
            self._tell(lambda: ledger.heard(trial_number(trial), result))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._tell(lambda: ledger.over(trial_number(trial), last_params(trial)))

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._nodes = failures.live_nodes()

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            number, error = trial_number(trial), failures.recorded_error(trial)
            lost = not ledger.has_ended(number) and failures.is_lost(error, self._nodes)
            failure = failures.reason(error)
            self._tell(lambda: ledger.over(number, last_params(trial), failure=failure, lost=lost))

        def _tell(self, what: Callable[[], None]) -> None:
            try:
                what()
            except OSError as error:
                ledger.fail(
                    UserError(f"cannot write to the study {ledger.journal.path.parent}: {error.strerror or error}")
                )
            except Exception as error:  # Tune's own handling would lose it
                ledger.fail(error)

    def last_params(trial: Any) -> dict[str, Any] | None:
        return {name: value for name, value in trial.config.items() if name != "trial"} if population else None

    return Callback()


def stopper(ledger: Ledger) -> Any:
    """Return a stopper that ends all trials once the ledger no longer waits for them."""
    from ray import tune

    class Stopper(NotPickled, tune.Stopper):
        """Ends everything when the ledger says so."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return ledger.must_end()

    return Stopper()
