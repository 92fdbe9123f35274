"""Loggers beside the run directory's own files: none of them can end a training."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from morl.errors import blame
from morl.registry import TRACKERS, load, logger_function
from morl.runs import files
from morl.runs.loggers.base import Function, Logger, Opening, Row

IDENTITIES = "loggers.json"  # names by which tracking tools know the run, in the run directory


class Others:
    """Open loggers of a training. One that raises is left out from then on, with a line that says so.

    Args:
        names: of loggers that are none of the run directory's own files, see :mod:`morl.registry`.
        functions: called with each row.
        opening: what they are opened with.
        failed: is given the line, and the error.
    """

    def __init__(
        self,
        names: Sequence[str],
        functions: Sequence[Callable[[Row], object]],
        opening: Opening,
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self._failed = failed
        self._open: dict[str, Logger] = {}
        known = _identities(opening.path) if opening.step is not None else {}
        for name in names:
            with self._guarded(name):
                self._open[name] = opened(name, replace(opening, identity=known.get(name)))
        for function in functions:
            self._open[getattr(function, "__name__", type(function).__name__)] = Function(function)
        found = {name: logger.identity for name, logger in self._open.items() if logger.identity}
        if found:
            files.write_text(opening.path / IDENTITIES, json.dumps({**known, **found}, indent=1) + "\n")

    def write(self, row: Row) -> None:
        """Write a row of metrics."""
        self._each(lambda logger: logger.write(row))

    def image(self, name: str, image: Any, step: int) -> None:
        """Write a picture (H, W, 3) uint8."""
        self._each(lambda logger: logger.image(name, image, step))

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the settings and results of the run."""
        self._each(lambda logger: logger.results(settings, results, step))

    def close(self) -> None:
        """Close all."""
        self._each(lambda logger: logger.close())
        self._open.clear()

    def _each(self, use: Callable[[Logger], None]) -> None:
        for name, logger in list(self._open.items()):
            with self._guarded(name):
                use(logger)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what they print is not the command's own output
                yield
        except (Exception, SystemExit) as error:  # of any package or function
            self._open.pop(name, None)
            self._failed(f"logger {name}: {blame(error)}; the training goes on without it", error)


def opened(name: str, opening: Opening) -> Logger:
    """Return an open logger that is none of the run directory's own files."""
    if name not in TRACKERS:
        return Function(logger_function(name))
    logger: Logger = load(TRACKERS[name])(opening)
    return logger


def _identities(path: Path) -> dict[str, str]:
    try:
        found = json.loads((path / IDENTITIES).read_text(encoding="utf-8"))
        return {str(name): str(identity) for name, identity in found.items()}
    except (OSError, ValueError, AttributeError):  # none, or damaged: then they begin a new run of theirs
        return {}
