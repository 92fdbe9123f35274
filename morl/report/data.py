"""Data of a report's page, as plain JSON values."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from morl import __version__
from morl.analysis.comparison import common_front, recorded
from morl.analysis.results import OBJECTS, Result, history_columns
from morl.ops import metrics
from morl.ops.pareto import non_dominated
from morl.ops.preferences import equally_spaced_weights
from morl.quality import NUM_PREFERENCES, measure, objective_columns
from morl.registry import metric_specs
from morl.runs.directory import read_objects
from morl.runs.front import Floats, Front
from morl.words import counted
from morl.yardsticks.fronts import KnownFront
from morl.yardsticks.protocol import differences


def report_data(results: Sequence[Result], reference_point: ArrayLike | None = None) -> dict[str, Any]:
    """Return the data that the page's script reads, with the runs in the order given.

    Args:
        results: the runs.
        reference_point: (R,) of the hypervolume of their fronts; by default each run's own.

    Raises:
        UserError: a reference point of another length.
    """
    first = results[0]
    given = None
    if reference_point is not None:
        given = metrics.check_reference_point(reference_point, len(first.objectives), first.objectives)
    objectives = [{"name": n, "unit": u} for n, u in zip(first.objectives, first.units, strict=True)]
    true_front = next((r.true_front for r in results if r.true_front is not None), None)
    project = _projection([t["returns"] for r in results for t in r.tables.values()])
    return {
        "version": __version__,
        "env": first.env,
        "gamma": first.gamma,
        "objectives": objectives,
        "best": {column: name for column, name, kind in objective_columns(first.objectives) if kind == "max"},
        "trueFront": None if true_front is None else _rows(true_front),
        "axes": project["axes"],
        "explained": project["explained"],
        "metrics": [
            {"name": spec.name, "label": spec.label, "summary": spec.summary, "sign": spec.sign}
            for spec in metric_specs().values()
        ],
        "protocol": _protocol(results, given),
        "runs": [_run(result, project, given, _known_front(results)) for result in results],
    }


def _protocol(results: Sequence[Result], given: Floats | None) -> list[str]:
    """Return lines about the protocol of the first run, and how those of the others differ."""
    first = replace(results[0].protocol, known_front=_known_front(results))
    lines = (first if given is None else replace(first, reference_point=given)).describe()
    differing = differences((result.label, recorded(result)) for result in results)
    return [*lines, *([differing] if differing else [])]


def _known_front(results: Sequence[Result]) -> KnownFront | None:
    """Return the front that the runs are measured against; None for one front alone of an unknown one."""
    known = common_front(results)
    alone = sum(len(result.tables) for result in results) == 1
    return None if alone and known.kind == "pooled" else known


def _run(result: Result, project: Mapping[str, Any], given: Floats | None, known: KnownFront | None) -> dict[str, Any]:
    result = replace(result, protocol=replace(result.protocol, known_front=known))
    reference = result.reference_point if given is None else given
    notes = result.notes
    objects, fronts = _objects(result), result.fronts
    created = str(notes.get("created", ""))
    return {
        "label": result.label,
        "path": shlex.quote(str(result.path)),
        "agent": result.agent,
        "created": created,
        "command": result.command,
        "again": shlex.join(["morl", "train", result.agent, "--config", str(result.path / "config.yaml")]),
        "settings": {name: _text(value) for name, value in result.settings.items()},
        "notes": {name: _text(value) for name, value in notes.items() if name not in ("format", "command", "protocol")},
        "measured": _measured(result),
        "labelled": result.labelled,
        "conditional": result.conditional,
        "reference": _point(reference),
        "ownReference": _point(result.reference_point),
        "fronts": [
            {**_front(seed, fronts[seed], table, result, project, reference), "objects": objects.get(seed)}
            for seed, table in result.tables.items()
        ],
        "history": _history(result.history, result.objectives),
    }


def _measured(result: Result) -> str:
    """Return a phrase that says how the returns of a front were measured."""
    if result.labelled:
        return "of labelled objects"
    if (result.path / OBJECTS).is_file():
        return "of the best objects drawn for spread preferences"
    return f"mean of {counted(result.episodes, 'greedy episode')} on seeds that training did not see"


def _objects(result: Result) -> dict[int, tuple[str, ...]]:
    """Return the texts of a run's objects by seed; empty if its fronts hold policies."""
    path = result.path / OBJECTS
    return read_objects(path, result.tables) if path.is_file() else {}


def _point(point: Floats) -> str:
    return " ".join(f"{x:g}" for x in point)


def _front(
    seed: int,
    front: Front,
    table: Mapping[str, Floats],
    result: Result,
    project: Mapping[str, Any],
    reference: Floats,
) -> dict[str, Any]:
    returns = table["returns"]
    protocol = replace(result.protocol, reference_point=reference)
    return {
        "seed": seed,
        **{name: _rows(table[name]) for name in ("preferences", "returns", "stderr", "undiscounted")},
        "length": _row(table["length"]),
        "bestFor": [None if np.isnan(ranges).any() else ranges.tolist() for ranges in front.best_for],
        "withoutBonus": None if front.without_bonus is None else _rows(front.without_bonus),
        "projected": _rows((returns - project["centre"]) / project["span"] @ project["basis"]),
        "metrics": _metrics(returns, result, reference, protocol.known_front),
        "note": "; ".join(protocol.notes(returns)) or None,
    }


def _metrics(returns: Floats, result: Result, reference: Floats, known: KnownFront | None) -> dict[str, Any]:
    """Return every metric of a front by name, ``null`` where it has none, and the hypervolume as a share."""
    values = measure(
        returns[non_dominated(returns, keep_duplicates=False)],
        metric_specs().values(),
        reference_point=reference,
        preferences=equally_spaced_weights(len(result.objectives), NUM_PREFERENCES),
        known_front=None if known is None else known.points,
    )
    share = None
    if result.true_front is not None:
        whole = metrics.hypervolume(result.true_front, reference)
        share = values["hypervolume"] / whole if whole else None  # none of it exceeds the reference point
    found = {name: _finite(values.get(name, math.nan)) for name in metric_specs()}
    return {**found, "exact": bool(values["hypervolume_exact"]), "share": share}


def _projection(fronts: Iterable[Floats]) -> dict[str, Any]:
    """Return the plane of largest variance of all points (principal components), objectives scaled to their ranges."""
    points = np.concatenate(list(fronts))
    span = np.ptp(points, axis=0)
    span = np.where(span > 0, span, 1.0)
    centre = points.mean(axis=0)
    _, deviations, directions = np.linalg.svd((points - centre) / span, full_matrices=False)
    basis = np.zeros((points.shape[1], 2))
    found = min(2, len(directions))
    basis[:, :found] = directions[:found].T
    basis *= np.where(basis.sum(axis=0) < 0, -1.0, 1.0)  # fix the sign, so that it is the same on every machine
    variance = deviations**2
    total = variance.sum() or 1.0
    explained = (variance[:2] / total).tolist()
    return {"centre": centre, "span": span, "basis": basis, "axes": _rows(basis), "explained": explained}


def _history(history: Mapping[int, Mapping[str, Floats]], objectives: Sequence[str]) -> dict[str, Any]:
    """Return mean, minimum and maximum over the seeds of each metric, at each step that some seed has."""
    steps = sorted({step for table in history.values() for step in table["step"].tolist()})
    shown = [name for name in history_columns(objectives) if any(name in table for table in history.values())]
    curves: dict[str, Any] = {name: {"mean": [], "low": [], "high": []} for name in shown}
    for step in steps:
        for name in shown:
            there = [t[name][t["step"] == step] for t in history.values() if name in t]
            values = np.concatenate(there)
            values = values[np.isfinite(values)]
            for kind, of in (("mean", np.mean), ("low", np.min), ("high", np.max)):
                curves[name][kind].append(float(of(values)) if len(values) else None)
    return {"step": steps, "seeds": len(history), **curves}


def _rows(table: Floats) -> list[list[float | None]]:
    return [_row(row) for row in table]


def _row(row: Floats) -> list[float | None]:
    return [_finite(x) for x in row]


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(x)}" for name, x in value.items()) or "none"
    if isinstance(value, list | tuple):
        return " ".join(_text(x) for x in value)
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
