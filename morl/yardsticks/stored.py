"""Yardsticks measured beforehand: known fronts, and returns of policies that do not learn, by environment.

``data/ENVIRONMENT.json`` holds one entry for each set of keywords of the environment, which
``benchmarks/make_yardsticks.py`` writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StoredFront:
    """Front that was published or found.

    Attributes:
        points: (n, R) discounted returns.
        kind: ``published``, or ``best`` of those found so far.
        source: where it is from, in words.
    """

    points: Floats
    kind: str
    source: str


@dataclass(frozen=True)
class Anchor:
    """Mean discounted return of a policy that does not learn.

    Attributes:
        name: what it does, such as ``zero action``.
        returns, stderr: (R,) mean over the episodes and its standard error.
        episodes: number of them.
    """

    name: str
    returns: Floats
    stderr: Floats
    episodes: int


@dataclass(frozen=True)
class Stored:
    """Yardsticks of an environment with its keywords, at one discount.

    Attributes:
        front: a published or best-found front, if there is one.
        anchors: of policies that do not learn.
    """

    front: StoredFront | None = None
    anchors: tuple[Anchor, ...] = ()


NOTHING = Stored()


def stored(env: str, kwargs: Mapping[str, Any], gamma: float) -> Stored:
    """Return the yardsticks of an environment, keywords and discount; empty where none were measured.

    Args:
        env: its id; a module or namespace before the name is left out.
        kwargs: its keywords.
        gamma: the discount.
    """
    name = re.split(r"[:/]", env)[-1]
    for entry in _entries(name):
        if entry["kwargs"] == plain(kwargs):
            for found in entry["discounts"]:
                if found["gamma"] == gamma:
                    return Stored(_front(found.get("front")), _anchors(entry, found))
    return NOTHING


def plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords as JSON reads them back, so that those given as tuples or as lists are equal."""
    read: dict[str, Any] = json.loads(json.dumps(dict(kwargs), sort_keys=True, default=str))
    return read


def _front(found: Mapping[str, Any] | None) -> StoredFront | None:
    if found is None:
        return None
    points = sorted((point for points in found["sources"].values() for point in points), reverse=True)
    return StoredFront(np.asarray(points, np.float64), found["kind"], "; ".join(found["sources"]))


def _anchors(entry: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Anchor, ...]:
    return tuple(
        Anchor(
            name,
            np.asarray(numbers["returns"], np.float64),
            np.asarray(numbers["stderr"], np.float64),
            int(entry["episodes"]),
        )
        for name, numbers in found.get("anchors", {}).items()
    )


@lru_cache(maxsize=16)
def _entries(name: str) -> list[dict[str, Any]]:
    """Return the entries of an environment's file; none where it has no file."""
    if not re.fullmatch(r"[\w.-]+", name):
        return []
    file = resources.files(__package__) / "data" / f"{name}.json"
    return list(json.loads(file.read_text())["settings"]) if file.is_file() else []
