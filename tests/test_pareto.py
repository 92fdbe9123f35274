"""Dominance, crowding and the convex coverage set, against brute force and numbers by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import ConvexHull

from morl.envs.deep_sea_treasure import DeepSeaTreasure
from morl.errors import UserError
from morl.pareto import convex_coverage_set, crowding_distance, non_dominated

# small whole numbers, so that ties and duplicates are common
clouds = hnp.arrays(np.float64, st.tuples(st.integers(1, 25), st.integers(2, 4)), elements=st.integers(-3, 3))


def dominates(a, b):
    return bool((a >= b).all() and (a > b).any())


@settings(deadline=None, max_examples=100)
@given(clouds)
def test_non_dominated_by_definition(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]
    np.testing.assert_array_equal(non_dominated(points), expected)
    once = non_dominated(points, keep_duplicates=False)
    assert {tuple(p) for p in points[once]} == {tuple(p) for p in points[expected]}
    assert len(points[once]) == len({tuple(p) for p in points[once]})
    for i in np.flatnonzero(expected):
        first = next(j for j in range(len(points)) if (points[j] == points[i]).all())
        assert once[i] == (i == first)


def test_non_dominated_of_nothing_and_of_nonsense():
    assert non_dominated(np.zeros((0, 3))).shape == (0,)
    with pytest.raises(UserError, match="points must be finite"):
        non_dominated([[1.0, np.nan]])
    with pytest.raises(UserError, match="not of shape"):
        non_dominated([1.0, 2.0])


def test_crowding_distance_by_hand():
    """Deb et al. (2002): the middle point's neighbours are the whole range apart in both objectives."""
    points = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
    np.testing.assert_allclose(crowding_distance(points), [np.inf, 2.0, np.inf])
    points = np.array([[0.0, 8.0], [2.0, 6.0], [3.0, 2.0], [4.0, 0.0]])
    np.testing.assert_allclose(crowding_distance(points), [np.inf, 3 / 4 + 6 / 8, 2 / 4 + 6 / 8, np.inf])


def test_crowding_distance_of_equal_and_few_points():
    np.testing.assert_array_equal(crowding_distance([[1.0, 2.0]]), [0.0])
    np.testing.assert_array_equal(crowding_distance([[1.0, 2.0]] * 3), [0.0] * 3)
    assert not np.isnan(crowding_distance([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])).any()


@settings(deadline=None, max_examples=60)
@given(clouds)
def test_convex_coverage_set_holds_the_best_for_every_preference(points):
    chosen = convex_coverage_set(points)
    assert not (chosen & ~non_dominated(points)).any()
    rng = np.random.default_rng(0)
    preferences = rng.dirichlet(np.ones(points.shape[1]), 200)
    utilities = points @ preferences.T
    np.testing.assert_allclose(utilities[chosen].max(axis=0), utilities.max(axis=0), atol=1e-6)
    for i in np.flatnonzero(chosen):  # and each is needed: it is strictly best for some preference
        assert (
            (np.delete(points[chosen], np.flatnonzero(np.flatnonzero(chosen) == i), axis=0) != points[i])
            .any(axis=1)
            .all()
        )


def test_convex_coverage_set_is_the_upper_hull_in_two_objectives():
    angles = np.linspace(0.05, np.pi / 2 - 0.05, 12)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    inner = circle * 0.9
    points = np.concatenate([circle, inner])
    np.testing.assert_array_equal(np.flatnonzero(convex_coverage_set(points)), np.arange(12))
    assert set(np.arange(12)) <= set(ConvexHull(points).vertices)


def test_convex_coverage_set_leaves_out_what_only_ties():
    """(1, 1) lies on the edge between the two others; the scale of an objective does not matter."""
    points = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    np.testing.assert_array_equal(convex_coverage_set(points), [True, False, True])
    np.testing.assert_array_equal(convex_coverage_set(points * [1e6, 1e-6]), [True, False, True])
    np.testing.assert_array_equal(convex_coverage_set(np.ones((3, 2))), [True, False, False])


def test_convex_coverage_sets_of_deep_sea_treasure():
    """9 of the 10 points of the convex map are supported, 2 of the concave one's."""
    assert convex_coverage_set(DeepSeaTreasure("convex").true_front(1.0)).sum() == 9
    assert convex_coverage_set(DeepSeaTreasure("concave").true_front(1.0)).sum() == 2
