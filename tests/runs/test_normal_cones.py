"""Ranges of linear preferences for which points are the best: by hand, by single linear programs, by sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linprog

from morl.ops.pareto import convex_coverage_set
from morl.runs import normal_cones
from morl.runs.normal_cones import preference_ranges


def sphere(seed, number, size):
    found = np.abs(np.random.default_rng(seed).normal(size=(number, size)))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_two_objectives_by_hand():
    """(0, 1) and (0.6, 0.6) are equal at 0.6 w = 0.4 (1 − w), so at w = 0.4; (0.5, 0.5) is dominated."""
    found = preference_ranges([[0, 1], [0.6, 0.6], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(found[:3], [[[0, 0.4], [0.6, 1]], [[0.4, 0.6], [0.4, 0.6]], [[0.6, 1], [0, 0.4]]])
    assert np.isnan(found[3]).all()


def test_weights_are_in_the_units_of_the_returns():
    """A hundred times the first return takes a hundredth of the weight beside the other's: 0.4/60.4 in place of 0.4."""
    found = preference_ranges([[0, 1], [60, 0.6], [100, 0]])
    np.testing.assert_allclose(found[:, 0], [[0, 0.4 / 60.4], [0.4 / 60.4, 0.6 / 40.6], [0.6 / 40.6, 1]])


@pytest.mark.parametrize("unit", [1.0, 1e4])
def test_three_objectives_by_hand(unit):
    """(½, ½, ½) is the best where no weight exceeds ½; another is where its weight does."""
    found = preference_ranges(unit * np.array([*np.eye(3), [0.5, 0.5, 0.5], [0.4, 0.4, 0.5]]))
    np.testing.assert_allclose(found[0], [[0.5, 1], [0, 0.5], [0, 0.5]], atol=1e-9)
    np.testing.assert_allclose(found[3], [[0, 0.5]] * 3, atol=1e-9)
    assert np.isnan(found[4]).all()


@pytest.mark.parametrize("size", [2, 3])
def test_a_point_that_only_ties_is_best_for_none(size):
    """The middle of a line is as good as its ends for one preference, and the dent for none."""
    ends = np.eye(size)[:2]
    found = preference_ranges([*ends, ends.mean(axis=0), 0.9 * ends.mean(axis=0)])
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2:]).all()
    np.testing.assert_array_equal(np.isfinite(found[:, 0, 0]), convex_coverage_set([*ends, *[ends.mean(axis=0)] * 2]))


def test_one_point_no_point_and_an_objective_that_is_constant():
    np.testing.assert_array_equal(preference_ranges([[3.0, -1.0, 2.0]]), [[[0, 1]] * 3])
    assert preference_ranges(np.zeros((0, 2))).shape == (0, 2, 2)
    assert np.isnan(preference_ranges([[1.0, 1.0], [1.0, 1.0]])[1]).all()
    constant = preference_ranges([[0, 1, 7], [1, 0, 7]])
    np.testing.assert_allclose(constant, [[[0, 0.5], [0, 1], [0, 1]], [[0, 1], [0, 0.5], [0, 1]]], atol=1e-9)


@pytest.mark.parametrize(("number", "size"), [(12, 2), (9, 3), (8, 6)])
def test_against_a_linear_program_for_each_end(number, size):
    points = sphere(number, number, size) * 10.0 ** np.arange(size)
    found = preference_ranges(points)
    for i in range(number):
        others = np.delete(points, i, axis=0) - points[i]
        for j in range(size):
            for k, sign in enumerate((1, -1)):
                cost = np.where(np.arange(size) == j, sign, 0)
                one = linprog(cost, A_ub=others, b_ub=np.zeros(number - 1), A_eq=np.ones((1, size)), b_eq=[1.0])
                np.testing.assert_allclose(found[i, j, k], one.x[j], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    hnp.arrays(np.float64, (7, 3), elements=st.integers(-4, 4).map(float)),
    hnp.arrays(np.float64, (4, 3), elements=st.integers(1, 100).map(float)),
)
def test_whatever_is_assigned_is_in_the_range(points, weights):
    """The best for a preference has it in its ranges, unless another is as good; each range has the rest as a room."""
    found = preference_ranges(points)
    for w in weights / weights.sum(axis=1, keepdims=True):
        utility = points @ w
        best = np.flatnonzero(utility > utility.max() - 1e-9)
        if len(best) == 1:
            assert (found[best[0], :, 0] <= w + 1e-9).all()
            assert (w <= found[best[0], :, 1] + 1e-9).all()
    there = np.isfinite(found[:, 0, 0])
    assert (found[there, :, 0] <= found[there, :, 1]).all()
    assert (found[there, :, 0].sum(axis=1) <= 1 + 1e-9).all()
    assert (found[there, :, 1].sum(axis=1) >= 1 - 1e-9).all()


def test_of_many_points_ranges_are_within_the_exact_ones(monkeypatch):
    points = sphere(0, 12, 4) * [1, 10, 1, 1]
    exact = preference_ranges(points)
    monkeypatch.setattr(normal_cones, "MOST", 0)
    sampled = preference_ranges(points)
    there = np.isfinite(sampled[:, 0, 0])
    assert there.sum() >= 10
    assert (sampled[there, :, 0] >= exact[there, :, 0] - 1e-9).all()
    assert (sampled[there, :, 1] <= exact[there, :, 1] + 1e-9).all()
    assert (sampled[there, :, 1] - sampled[there, :, 0]).sum() > 0.6 * np.ptp(exact[there], axis=2).sum()
