"""Checkpoints of a training under way: when they are written, and which of them it goes on from."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from morl.errors import UserError
from morl.parsing import field_names
from morl.registry import agent_spec, load_settings
from morl.renaming import current_names
from morl.runs import storage
from morl.settings import TrainSettings
from morl.training.progress import Progress, from_json
from morl.types import PyTree
from morl.words import counted

MINUTES = 10.0
SHARE = 0.02  # of the time that checkpoints may take by default
# settings that change no number beyond rounding
_FREE = frozenset({"device", "processes", "threads", "overlap", "checkpoint_minutes", "checkpoints_kept"})


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a UserError that says the run directory cannot be written, and what is intact."""
    try:
        yield
    except OSError as error:
        kept, after = storage.states(path / "checkpoints"), "there is no checkpoint yet"
        if kept:
            after = f"{kept[0].name} is intact; to go on from it: morl train --resume {path}"
        reason = error.strerror or str(error)
        raise UserError(f"cannot write to the run directory {path}: {reason}; {after}") from error


class Saver:
    """Checkpoints of one run, in ``directory``."""

    def __init__(self, directory: Path, settings: TrainSettings) -> None:
        self._directory = directory
        self._keep = max(1, settings.checkpoints_kept)
        self.keeps_final = settings.checkpoints_kept > 0 and "steps" in field_names(type(settings))
        self._minutes = settings.checkpoint_minutes
        self._begin = self._last = time.perf_counter()
        self._took = self._total = 0.0
        self._number = 0

    def due(self) -> bool:
        """Return whether it is time for one."""
        wait = 60.0 * (MINUTES if self._minutes is None else self._minutes)
        if self._minutes is None:
            wait = max(wait, self._took / SHARE)
        return time.perf_counter() - self._last >= wait

    def save(self, tree: PyTree, progress: Progress, resolved: dict[str, Any]) -> None:
        """Write a checkpoint.

        Raises:
            OSError: it cannot be written; those before it are as they were.
        """
        tick = time.perf_counter()
        notes = {"progress": progress.as_json(), "settings": fixed_settings(resolved)}
        storage.save_state(self._directory, tree, notes, self._keep)
        self._begin = self._last = time.perf_counter()
        self._took = self._last - tick
        self._total += self._took
        self._number += 1

    def last(
        self,
        like: Callable[[int], PyTree],
        resolved: dict[str, Any],
        defaults: dict[str, Any],
        shape: tuple[int, int, int],
    ) -> tuple[PyTree, Progress | None, list[str]]:
        """Return the newest whole checkpoint and what was wrong with newer ones; no progress if there was none.

        Args:
            like: function from the stage of a checkpoint to arrays of the shapes it has.
            resolved: settings the training goes on with.
            defaults: values of settings that did not exist when a checkpoint was written.
            shape: numbers of its policies, seeds and stages.

        Raises:
            UserError: there are checkpoints and none is whole, or settings have changed since.
        """
        damaged: list[str] = []
        for path in storage.states(self._directory):
            try:
                notes = storage.load_notes(path)
                progress = _checked(path, notes, resolved, defaults, shape)
                return storage.load_state(path, like(progress.stage)), progress, damaged
            except _ChangedError:
                raise
            except UserError as error:
                damaged.append(str(error))
        if damaged:
            raise UserError(f"no checkpoint of {self._directory.parent} can be read: {damaged[0]}")
        return None, None, []

    def finish(self) -> str | None:
        """Keep the last state of a run that has finished, if it keeps one; describe it."""
        if not self.keeps_final:
            storage.forget_states(self._directory)
            return None
        path = storage.finish_states(self._directory)
        if path is None:
            return None
        size = path.stat().st_size / 2**20
        return f"for more steps (--resume RUN --steps N) the last state is kept, {size:.1f} MiB: {path}"

    def reopen(self) -> None:
        """Make a finished run one that goes on from its last state."""
        storage.reopen_states(self._directory)

    def cost(self) -> str:
        """Describe the time that checkpoints took."""
        share = self._total / (time.perf_counter() - self._begin)
        return f"{counted(self._number, 'checkpoint')} took {self._total:.3g} s, {share:.2%} of the time"


class _ChangedError(UserError):
    """Error for a config.yaml other than the one the checkpoint was made with."""


def _checked(
    path: Path,
    notes: dict[str, Any],
    resolved: dict[str, Any],
    defaults: dict[str, Any],
    shape: tuple[int, int, int],
) -> Progress:
    settings = notes.get("settings")
    if not isinstance(settings, dict):
        raise UserError(f"cannot read the checkpoint {path}: it holds no settings")
    spec = agent_spec(resolved["agent"])
    settings = current_names(settings, load_settings(spec.settings), load_settings(spec.config), source=str(path))
    settings = {**fixed_settings(defaults), **settings}
    now = fixed_settings(resolved)
    changed = [name for name in now.keys() | settings.keys() if now.get(name) != settings.get(name)]
    if "steps" in changed and now["steps"] > settings["steps"]:  # the run was given more
        changed.remove("steps")
    if changed:
        name = min(changed)
        raise _ChangedError(
            f"{name} was {settings.get(name)!r} when {path} was written, and config.yaml says {now.get(name)!r}; "
            f"a run is resumed with its own settings"
        )
    try:
        return from_json(notes.get("progress"), *shape)
    except UserError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error}") from error


def fixed_settings(resolved: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that numbers depend on, as JSON gives them back."""
    fixed: dict[str, Any] = json.loads(
        json.dumps({name: value for name, value in resolved.items() if name not in _FREE})
    )
    return fixed
