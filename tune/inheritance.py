"""Trainings that continue another one's checkpoint with other settings, for population-based training."""

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
    """Replace the run directory ``run`` by the training in ``donor`` at its newest checkpoint, with other settings.

    Args:
        agent: a registered agent.
        donor: run directory to copy from.
        run: run directory to replace.
        config: the agent's settings; those that shapes of arrays depend on are the same as in ``donor``.
        settings: settings of the training.

    Raises:
        UserError: ``donor`` has no complete checkpoint.
    """
    setup = prepare(agent, settings, config)
    states = storage.states(donor / "checkpoints")
    if not states:
        raise UserError(f"{donor} has no checkpoint to continue from")
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
    """Copy the file of a training's state with changes to the notes in it."""
    notes = {**storage.load_notes(source), **changes}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            if info.filename == storage.NOTES:
                new.writestr(storage.NOTES, json.dumps(notes))
                continue
            with old.open(info) as reader, new.open(info.filename, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer)
