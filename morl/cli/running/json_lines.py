"""Progress of a training as lines of JSON on standard output, for programs that read it."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

from morl.training.reporter import Status


class JsonReporter:
    """Reporter that writes one line of JSON per event: start, status, note; :func:`end` is the last one.

    Attributes:
        path: run directory, once there is one.
        updated: whether the first updates are done, which are compiled before.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.updated = False

    def __enter__(self) -> JsonReporter:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def start(self, headline: str, path: Path) -> None:
        """Write the headline and the run directory."""
        self.path = path
        write({"event": "start", "run": str(path), "headline": headline})

    def update(self, status: Status) -> None:
        """Write the fields of the status; one value a seed where they depend on the seed."""
        self.updated = True
        write({"event": "status", **dataclasses.asdict(status)})

    def note(self, text: str) -> None:
        """Write a note."""
        write({"event": "note", "text": text})


def end(run: Any) -> dict[str, Any]:
    """Return the last event of a training: whether it has finished, its files, and each seed's front in numbers."""
    return {
        "event": "end",
        "run": str(run.path),
        "finished": run.finished,
        "front": str(run.path / "front.csv"),
        "seeds": [
            {
                "seed": seed,
                "policies": len(front),
                "hypervolume": front.hypervolume(),
                "reference_point": front.reference_point.tolist(),
                "gamma": front.gamma,
            }
            for seed, front in run.fronts.items()
        ],
    }


def write(event: dict[str, Any]) -> None:
    """Write an event as one line; numbers that are not finite are null."""
    try:
        print(json.dumps(_finite(event), allow_nan=False), flush=True)
    except BrokenPipeError:  # the training continues if nobody reads its output
        sys.stdout = None  # nor at the end


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
