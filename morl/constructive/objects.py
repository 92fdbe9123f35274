"""What a search for objects leaves behind, where other agents leave policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morl.ops import metrics
from morl.runs.front import Floats


@dataclass(frozen=True)
class FoundFront:
    """Non-dominated labelled objects; n objects, R objectives, all maximised.

    Attributes:
        objectives: R names.
        returns: (n, R) labels.
        objects: n texts.
        reference_point: (R,) for the hypervolume.
    """

    objectives: tuple[str, ...]
    returns: Floats
    objects: tuple[str, ...]
    reference_point: Floats

    kind = "objects"
    how_measured = "as labelled"
    caption = "labelled objects"

    def __len__(self) -> int:
        return len(self.returns)

    @property
    def stderr(self) -> Floats:
        """(n, R) zeros: labels are taken as exact."""
        return np.zeros_like(self.returns)

    def hypervolume(self) -> float:
        """Volume between the front and the reference point (see :func:`morl.ops.metrics.hypervolume_estimate`)."""
        return metrics.hypervolume_estimate(self.returns, self.reference_point)[0]

    def describe_hypervolume(self) -> str:
        """The hypervolume in words, with what it depends on, and whether it is only an estimate."""
        value, exact = metrics.hypervolume_estimate(self.returns, self.reference_point)
        reference = " ".join(f"{x:g}" for x in self.reference_point)
        return f"{'' if exact else 'approximate '}hypervolume {value:.6g} (reference {reference})"


@dataclass(frozen=True)
class Search:
    """A search that has a front.

    Attributes:
        path: its directory.
        config: the resolved settings.
        fronts: one for each seed.
        finished: whether its budget is used up; else it can be resumed.
    """

    path: Path
    config: dict[str, Any]
    fronts: Mapping[int, FoundFront]
    finished: bool

    @property
    def front(self) -> FoundFront:
        """The front of the first seed."""
        return next(iter(self.fronts.values()))
