"""Preferences on the simplex."""

import re
import subprocess
import sys
from math import comb

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from morl.errors import UserError
from morl.ops.preferences import (
    check_preference,
    dirichlet,
    equally_spaced_weights,
    explain_one_sided,
    simplex_lattice,
)


@pytest.mark.parametrize(
    ("objectives", "step", "number"), [(3, 0.5, 6), (2, 0.2, 6), (6, 1.0, 6), (2, 0.01, 101), (3, 0.3, 10)]
)
def test_lattices_of_the_published_settings(objectives, step, number):
    points = simplex_lattice(objectives, step)
    assert points.shape == (number, objectives)
    assert len({tuple(p) for p in points}) == number == comb(round(1 / step) + objectives - 1, objectives - 1)
    np.testing.assert_allclose(points.sum(axis=1), 1)
    assert (points >= 0).all()
    np.testing.assert_allclose(points * round(1 / step), np.round(points * round(1 / step)), atol=1e-12)


@pytest.mark.parametrize("step", [0.0, -0.5, 1.5, float("nan")])
def test_steps_that_make_no_lattice(step):
    with pytest.raises(UserError, match="above 0 and at most 1"):
        simplex_lattice(2, step)


@pytest.mark.parametrize("objectives", [2, 3, 4, 6, 9])
@pytest.mark.parametrize("number", [1, 2, 7, 16, 100])
def test_it_gives_exactly_so_many_distinct_preferences(objectives, number):
    points = equally_spaced_weights(objectives, number)
    assert points.shape == (number, objectives)
    assert len({tuple(p) for p in points.round(12)}) == number
    np.testing.assert_allclose(points.sum(axis=1), 1)
    assert (points >= 0).all()
    if number >= objectives:
        np.testing.assert_array_equal(points[:objectives], np.eye(objectives))
    np.testing.assert_array_equal(points, equally_spaced_weights(objectives, number))


def test_equally_spaced_weights_leave_no_large_hole():
    """Any preference of three objectives is nearer to one of 16 equally spaced ones than to most of 16 random ones."""
    rng = np.random.default_rng(0)
    probes = rng.dirichlet(np.ones(3), 2000)

    def hole(points):
        return np.linalg.norm(probes[:, None] - points, axis=2).min(axis=1).max()

    assert hole(equally_spaced_weights(3, 16)) < 0.8 * np.median(
        [hole(rng.dirichlet(np.ones(3), 16)) for _ in range(50)]
    )


def test_dirichlet_is_uniform_on_the_simplex():
    sample = np.asarray(dirichlet(jax.random.key(0), 3, 5000))
    np.testing.assert_allclose(sample.sum(axis=1), 1, atol=1e-5)
    assert stats.kstest(sample[:, 0], stats.beta(1, 2).cdf).pvalue > 0.001
    corners = np.asarray(dirichlet(jax.random.key(0), 3, 5000, 0.1))
    assert corners.max(axis=1).mean() > sample.max(axis=1).mean() + 0.2


@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ([0.5, 0.5, 0.0], "has 2 weights, one an objective, not 3"),
        ([0.7, 0.7], r"add up to 1, not 1.4; did you mean 0.5 0.5\?"),
        ([[0.5, 0.5]], r"one row of weights, not an array of shape \(1, 2\)"),
        ([1.5, -0.5], "finite and at least 0, not 1.5 -0.5"),
        ([np.nan, 1.0], "finite and at least 0, not nan 1"),
        ([0.500002, 0.5], "add up to 1, not 1.000002;"),
        ([0.0, 0.0], "add up to 1, not 0$"),
    ],
)
def test_preferences_off_the_simplex(preference, message):
    with pytest.raises(UserError, match=message):
        check_preference(preference, 2)


def test_a_preference_may_be_off_by_rounding():
    np.testing.assert_array_equal(check_preference([0.3333333, 0.6666667], 2), [0.3333333, 0.6666667])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=9).filter(lambda weights: sum(weights) > 1))
def test_the_preference_suggested_is_one(weights):
    with pytest.raises(UserError, match="did you mean") as error:
        check_preference(weights, len(weights))
    suggested = str(error.value).split("did you mean ")[1].rstrip("?").split()
    check_preference([float(weight) for weight in suggested], len(weights))


def test_a_lattice_too_large_to_build_is_refused():
    with pytest.raises(UserError, match="352,025,629,371 preferences"):
        simplex_lattice(9, 0.01)


@pytest.mark.parametrize(("objectives", "divisions"), [(2, 6), (3, 4), (6, 2), (9, 1)])
def test_equally_spaced_weights_are_a_lattice_where_one_fits(objectives, divisions):
    expected = simplex_lattice(objectives, 1 / divisions).tolist()
    np.testing.assert_array_equal(sorted(equally_spaced_weights(objectives, len(expected)).tolist()), sorted(expected))


@pytest.mark.parametrize(("objectives", "number"), [(3, 100), (4, 30), (6, 30), (9, 10), (9, 100)])
def test_equally_spaced_weights_cover_better_than_the_best_of_random_ones(objectives, number):
    """The largest hole is smaller, the closest two are farther apart, also inside a simplex of many corners."""
    rng = np.random.default_rng(0)
    probes = np.concatenate([rng.dirichlet(np.full(objectives, a), 4000) for a in (0.3, 1.0)])

    def hole(points):
        return np.linalg.norm(probes[:, None] - points, axis=2).min(axis=1).max()

    def separation(points):
        return np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(number, 1)].min()

    points = equally_spaced_weights(objectives, number)
    random = [rng.dirichlet(np.ones(objectives), number) for _ in range(5)]
    assert hole(points) < min(map(hole, random))
    assert separation(points) > 2 * max(map(separation, random))
    assert (points > 0).all(axis=1).any()  # a plain lattice of a hundred has at most 3 of 9 weights above 0


@pytest.mark.parametrize("concentration", [0.0, -1.0, float("nan"), float("inf")])
def test_a_concentration_that_is_none(concentration):
    with pytest.raises(UserError, match="concentration"):
        dirichlet(jax.random.key(0), 3, 2, concentration)


def test_importing_the_core_does_not_load_jax():
    code = "import sys, morl.ops.preferences, morl.ops.pareto, morl.ops.metrics; print('jax' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip() == "False"


def test_weighted_sums_of_one_objective_alone_are_told():
    front = np.array([[1.0, -9.0], [0.5, -4.0], [0.0, 0.0]])
    for units in ([1.0, 1.0], [1e-6, 1e-6], [1e20, 1e20], [0.1, 1.0]):
        assert explain_one_sided(front * units, ("ore", "fuel")) is None
    for units, said in (
        ([1e-6, 1], "ore spans 1e-06 and fuel 9: .* all serve fuel"),
        ([1e20, 1], "all serve ore; try"),
    ):
        assert re.search(said, explain_one_sided(front * units, ("ore", "fuel")))
    assert explain_one_sided(front * [0, 1], ("ore", "fuel")) is None  # nothing to trade
    assert explain_one_sided(front[:1], ("ore", "fuel")) is None
