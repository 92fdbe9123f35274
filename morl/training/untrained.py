"""Comparison of a front with that of the untrained policies: learning that has come to nothing is said at the end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jax

from morl.errors import UserError
from morl.ops import metrics
from morl.ops.preferences import equally_spaced_weights
from morl.quality import NUM_PREFERENCES
from morl.runs.front import Floats, Front
from morl.settings import TrainSettings
from morl.training.setup import Setup
from morl.training.solution_sets import SolutionSet
from morl.types import PyTree, Trainer

LEAST = 0.01  # of the untrained hypervolume: a smaller gain is chance


def no_better(
    setup: Setup,
    settings: TrainSettings,
    trainer: Trainer,
    solutions: SolutionSet,
    untrained: tuple[PyTree, Floats, jax.Array],
    fronts: Mapping[int, Front],
) -> list[str]:
    """Return a line for each seed whose front is no better than that of its untrained policies.

    These are evaluated once, as at an evaluation of the training; nothing that the run has written depends on it.

    Args:
        setup, settings: of the run.
        trainer: evaluates.
        solutions: the run's solution set; it is not changed.
        untrained: policies of all seeds, stacked, their preferences, and keys (S,).
        fronts: by seed.
    """
    if solutions.labelled:  # the labels before the first round are part of its front
        return []
    policies, preferences, keys = untrained
    before = copy.copy(solutions)
    before.begin(policies, preferences)
    before.update(trainer, policies, preferences, keys, settings.eval_episodes)
    lines = []
    for i, (seed, front) in enumerate(fronts.items()):
        name, one, other = _measured(front.returns, before.returns(i), setup.reference_point)
        if one <= other + LEAST * abs(other):
            lines.append(
                f"seed {seed}: this front is no better than that of the untrained policies "
                f"({name} {one:.6g}, untrained {other:.6g}); try {advice(setup, settings)}"
            )
    return lines


def _measured(after: Floats, before: Floats, reference_point: Floats) -> tuple[str, float, float]:
    """Return a measure's name and its values; expected utility where nothing exceeds the reference point."""
    values = [metrics.hypervolume_estimate(points, reference_point)[0] for points in (after, before)]
    if any(values):
        return "hypervolume", values[0], values[1]
    weights = equally_spaced_weights(after.shape[1], NUM_PREFERENCES)
    utilities = [metrics.expected_utility(points, weights) for points in (after, before)]
    return "expected utility", utilities[0], utilities[1]


def advice(setup: Setup, settings: TrainSettings) -> str:
    """Return what to try: presets that the agent has for the environment and that this run did not follow."""
    now: dict[str, Any] = setup.resolved(settings)
    presets = []
    for name in setup.spec.protocols:
        try:
            values = setup.spec.protocol(name, settings.env)
        except UserError:  # none for this environment
            continue
        if any(now.get(key) != value for key, value in values.items() if key not in ("steps", "env_kwargs")):
            presets.append(f"--preset {name}")
    return " or ".join([*presets, "more --steps"])
