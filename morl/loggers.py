"""Names of loggers. Imports none of their packages, as settings and help texts need the names."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

from morl.errors import MissingExtraError, UserError, unknown_name
from morl.registry import import_user_module

DEFAULT = ("csv", "tensorboard")  # files of the run directory, which the recorder writes
# each needs the package of its name, which the extra of its name brings
TRACKERS = {
    "wandb": "morl.runs.loggers.wandb:WandbLogger",
    "mlflow": "morl.runs.loggers.mlflow:MLflowLogger",
    "trackio": "morl.runs.loggers.trackio:TrackioLogger",
    "aim": "morl.runs.loggers.aim:AimLogger",
}


def check_names(names: Iterable[str]) -> None:
    """Check the names of loggers: those above, or ``module:function`` of a function that is given rows.

    Raises:
        UserError: an unknown name.
    """
    for name in names:
        module, _, function = name.rpartition(":")
        if name not in DEFAULT and name not in TRACKERS and not (module and function):
            raise unknown_name("logger", name, [*DEFAULT, *TRACKERS, "module:function"])


def split_loggers(given: Any) -> tuple[list[Callable[[dict[str, Any]], object]], tuple[str, ...]]:
    """Return the functions and the names among what ``morl.train`` is given as ``logger``.

    Raises:
        UserError: neither the one nor the other.
    """
    each = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    each = [] if given is None else each
    for logger in each:
        if not (isinstance(logger, str) or callable(logger)):
            raise UserError(f"logger takes names and functions of a row of metrics, not {logger!r}")
    names = [name for logger in each if isinstance(logger, str) for name in logger.replace(",", " ").split()]
    return [logger for logger in each if not isinstance(logger, str)], tuple(names)


def check_installed(names: Iterable[str]) -> None:
    """Check that what loggers need is there, before anything is compiled or written.

    Raises:
        MissingExtraError: a package is not.
        UserError: a user's function cannot be imported, or is none.
    """
    for name in names:
        if name in TRACKERS:
            if importlib.util.find_spec(name) is None:
                raise MissingExtraError(f"the logger {name}", name)
        elif name not in DEFAULT:
            user_function(name)


def user_function(name: str) -> Callable[[dict[str, Any]], object]:
    """Return a user's function by ``module:function``."""
    module, _, function = name.rpartition(":")
    found: Any = getattr(import_user_module(module, f"logger {name!r}"), function, None)
    if not callable(found):
        raise UserError(f"logger {name!r}: {module!r} has no function {function!r}")
    called: Callable[[dict[str, Any]], object] = found
    return called
