"""Dominance, crowding and the convex coverage set, against brute force and numbers by hand."""

import itertools

import mo_gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import ConvexHull

from morl.envs.classic.deep_sea_treasure import DeepSeaTreasure
from morl.errors import UserError
from morl.ops.pareto import convex_coverage_set, crowding_distance, non_dominated

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


@pytest.mark.parametrize("objectives", [2, 3, 4, 6])
def test_non_dominated_of_thousands(objectives):
    """Many points take another algorithm than few."""
    points = np.random.default_rng(objectives).integers(0, 12, (2000, objectives)).astype(float)
    beaten = np.zeros(len(points), bool)
    for q in points:
        beaten |= (q >= points).all(axis=1) & (q > points).any(axis=1)
    np.testing.assert_array_equal(non_dominated(points), ~beaten)
    assert 0 < beaten.sum() < len(points)


@settings(deadline=None, max_examples=60)
@given(clouds)
def test_crowding_distance_marks_the_extremes_and_ignores_scale(points):
    distance = crowding_distance(points)
    assert (distance >= 0).all()
    for column in points.T:
        if np.ptp(column) > 0:
            assert np.isinf(distance[column == column.max()]).any()
            assert np.isinf(distance[column == column.min()]).any()
    np.testing.assert_allclose(crowding_distance(points * 10.0 ** np.arange(points.shape[1]) + 7), distance)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 25), st.just(2)), elements=st.integers(-6, 6)))
def test_convex_coverage_set_in_the_plane_is_the_hull_in_whole_numbers(points):
    hull = []  # Andrew's monotone chain, over the upper right
    for x, y in sorted({(int(x), int(y)) for x, y in points[non_dominated(points)]}):
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2:]
            if (bx - ax) * (y - by) - (by - ay) * (x - bx) < 0:
                break
            hull.pop()
        hull.append((x, y))
    assert sorted(map(tuple, points[convex_coverage_set(points)])) == hull


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 4), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_convex_coverage_set_is_that_of_qhull(objectives, number, seed):
    """The set is the vertices of the hull of the points and of all they dominate, down to a low corner."""
    points = np.random.default_rng(seed).random((number, objectives))
    below = [points]
    for r in range(1, objectives + 1):
        for lowered in itertools.combinations(range(objectives), r):
            shadow = points.copy()
            shadow[:, lowered] = -1.0
            below.append(shadow)
    everything, index = np.unique(np.concatenate(below), axis=0, return_index=True)
    vertices = index[ConvexHull(everything).vertices]
    np.testing.assert_array_equal(np.flatnonzero(convex_coverage_set(points)), np.sort(vertices[vertices < number]))


@pytest.mark.parametrize(("bulge", "kept"), [(1e-7, True), (1e-8, True), (1e-11, False), (-1e-8, False)])
def test_convex_coverage_set_tells_a_small_bulge_from_rounding(bulge, kept):
    """A lead below the solver's usual tolerance of 1e-7 still counts, whatever the scale."""
    points = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3 + bulge] * 3])
    for scale in (np.ones(3), np.array([1e-6, 1.0, 1e6])):
        assert convex_coverage_set(points * scale)[3] == kept


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting:UserWarning")
def test_resource_gathering_by_value_iteration_over_sets():
    """Run value iteration over sets of returns; as death ends the episode, no two sets have to be added."""
    env = mo_gymnasium.make("resource-gathering-v0").unwrapped
    states = list(itertools.product(range(5), range(5), (False, True), (False, True)))
    for gamma in (0.99, 1.0):
        fronts = {state: np.zeros((1, 3)) for state in states}
        for _ in range(20):
            fronts = {state: one_more_step(env, fronts, state, gamma) for state in states}
        front = fronts[4, 2, False, False]
        if gamma == 1.0:
            np.testing.assert_array_equal(front, [[0, 1, 1]])
        else:
            coverage = sorted(front[convex_coverage_set(front)].tolist())
            np.testing.assert_allclose(coverage, [[0, 0, 0.91352], [0, 0.84294, 0.84294], [0, 0.89534, 0]], atol=1e-5)


def one_more_step(env, fronts, state, gamma):
    """Non-dominated returns from a state, given those of a horizon shorter by one step; home ends an episode."""
    row, column, gold, gem = state
    futures = []
    for move in env.dir.values():
        r, c = row + int(move[0]), column + int(move[1])
        if not env.is_valid_state((r, c)):
            r, c = row, column
        cell = env.map[r][c]
        if cell == "H":
            futures.append(np.array([[0.0, gold, gem]]))
            continue
        future = gamma * fronts[r, c, gold or cell == "R1", gem or cell == "R2"]
        futures.append(0.9 * future + 0.1 * np.array([[-1.0, 0, 0]]) if cell in ("E1", "E2") else future)
    points = np.concatenate(futures)
    return points[non_dominated(points, keep_duplicates=False)]
