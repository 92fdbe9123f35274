"""A training that goes on from another one's checkpoint with other settings: what population-based training does."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import yaml

from morl.errors import UserError
from morl.runs import directory, storage
from morl.training.checkpointing import fixed_settings
from morl.training.setup import prepare


def inherit(agent: str, donor: Path, run: Path, config: Any, settings: Any) -> None:
    """Make ``run`` the training in ``donor``, at its newest checkpoint, with the settings given.

    Settings that shapes of arrays depend on have to be the same.

    Raises:
        UserError: there is no whole checkpoint.
    """
    setup = prepare(agent, settings, config)
    states = storage.states(donor / "checkpoints")
    if not states:
        raise UserError(f"{donor} has no checkpoint to go on from")
    fresh = run.with_name(f".{run.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "checkpoints").mkdir(parents=True)
    for name in ("metrics.csv", "log.txt"):
        if (donor / name).exists():
            shutil.copyfile(donor / name, fresh / name)
    resolved = setup.resolved(settings)
    text = yaml.safe_dump({**resolved, "run": directory.provenance("")}, sort_keys=False)
    (fresh / "config.yaml").write_text(text)
    rewritten(states[0], fresh / "checkpoints" / "state-000001.npz", {"settings": fixed_settings(resolved)})
    shutil.rmtree(run, ignore_errors=True)
    fresh.rename(run)


def rewritten(source: Path, target: Path, changes: dict[str, Any]) -> None:
    """A copy of the file of a training under way, with other notes."""
    notes = {**storage.load_notes(source), **changes}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            if info.filename == storage.NOTES:
                new.writestr(storage.NOTES, json.dumps(notes))
                continue
            with old.open(info) as reader, new.open(info.filename, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer)
