"""Metrics of fronts as text: cells of a table, and the sentences below it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from morl.quality import NUM_PREFERENCES
from morl.registry import MetricSpec


def cells(values: Mapping[str, float], specs: Iterable[MetricSpec]) -> list[str]:
    """Return the cells of a table row; approximate values are marked, unknown ones are dashes."""
    found = []
    for spec in specs:
        mark = "≈ " if values.get(f"{spec.name}_exact") == 0 else ""
        value = values.get(spec.name, math.nan)
        found.append("-" if math.isnan(value) else f"{mark}{value:.6g}")
    return found


def explained(specs: Iterable[MetricSpec], reference_point: Sequence[float], note: str, known_front: str) -> str:
    """Return sentences that say what the labels mean, what the values depend on and which way is better.

    Args:
        specs: the metrics.
        reference_point: (R,).
        note: what to add to the reference point.
        known_front: what the known front is: ``the true front``.
    """
    specs = list(specs)
    ways = {
        "reference_point": f"above {' '.join(f'{x:g}' for x in reference_point)}{note}",
        "preferences": f"over {NUM_PREFERENCES} equally spaced preferences",
        "known_front": f"against {known_front}",
    }
    measured = [f"{_listed(found)} {way}" for need, way in ways.items() if (found := _needing(specs, need))]
    better = {sign: [spec.label for spec in specs if spec.sign == sign] for sign in (1, -1)}
    directions = [f"{word} for {_listed(better[sign])}" for sign, word in ((1, "more"), (-1, "less")) if better[sign]]
    sentences = [f"{spec.label}: {spec.summary}" for spec in specs]
    if measured:
        sentences.append("; ".join(measured))
    if directions:
        sentences.append(f"Better is {', '.join(directions)}")
    return ". ".join(sentences) + "."


def _needing(specs: Iterable[MetricSpec], need: str) -> list[str]:
    return [spec.label for spec in specs if need in spec.needs]


def _listed(names: Sequence[str]) -> str:
    """Join names as a sentence does: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
