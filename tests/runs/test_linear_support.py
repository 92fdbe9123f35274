"""Corner weights and bounds of linear support, against examples by hand and brute force."""

import numpy as np
import pytest

from morl.ops.preferences import equally_spaced_weights
from morl.runs.linear_support import corner_weights, corners_by_gap, optimistic_values, supporting


def rows(weights):
    return sorted(tuple(row.round(6)) for row in weights)


def test_corners_of_two_objectives_by_hand():
    """(1, 10), (5, 8) and (9, 1): w 1 + (1-w) 10 = w 5 + (1-w) 8 at w = 1/3, and 5, 8 meets 9, 1 at 7/11."""
    found = corner_weights([[1, 10], [5, 8], [9, 1], [2, 2], [4, 8.1]])
    assert rows(found) == rows(np.array([[1, 0], [0, 1], [1 / 3, 2 / 3], [7 / 11, 4 / 11]]))


def test_a_point_below_the_hull_has_no_corner():
    assert rows(corner_weights([[0, 1], [1, 0], [0.4, 0.4]])) == rows(np.array([[1, 0], [0, 1], [0.5, 0.5]]))


def test_one_value_has_the_corners_of_the_simplex():
    for size in (2, 3, 4):
        assert rows(corner_weights(np.ones((1, size)))) == rows(np.eye(size))
        assert rows(corner_weights(np.stack([np.ones(size), np.zeros(size)]))) == rows(np.eye(size))


def test_corners_of_three_objectives_by_hand():
    """The unit vectors and (1/2, 1/2, 1/2): the latter is the best where no weight is above 1/2."""
    found = corner_weights(np.concatenate([np.eye(3), np.full((1, 3), 0.5)]))
    wanted = np.concatenate([np.eye(3), (1 - np.eye(3)) / 2])
    assert rows(found) == rows(wanted)


@pytest.mark.parametrize(("size", "number"), [(2, 20), (3, 15), (4, 12), (5, 8)])
def test_corners_are_where_enough_values_are_equally_good(size, number):
    """Brute force: at a vertex as many values and bounds of weights are tight as there are unknowns."""
    rng = np.random.default_rng(size)
    values = np.abs(rng.normal(size=(number, size))) * np.logspace(0, 2, size)
    for weights in corner_weights(values):
        worth = values @ weights
        tight = (worth > worth.max() - 1e-6 * np.abs(worth).max()).sum() + (weights < 1e-9).sum()
        assert tight >= size
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()


@pytest.mark.parametrize(("size", "number"), [(2, 10), (3, 12), (4, 10)])
def test_a_new_value_gains_the_most_at_a_corner(size, number):
    """Roijers (2016), theorem 7, with random new values."""
    rng = np.random.default_rng(number)
    values = rng.dirichlet(np.ones(size), number) ** 0.5
    corners, dense = corner_weights(values), rng.dirichlet(np.ones(size), 20_000)
    for new in rng.dirichlet(np.ones(size), 20) ** 0.4:
        gains = (weights @ new - (weights @ values.T).max(axis=1) for weights in (corners, dense))
        at_corners, anywhere = (float(gain.max()) for gain in gains)
        assert at_corners >= anywhere - 1e-9


def test_bounds_by_hand():
    """Knowing that 10 is the best for each objective alone, a policy could have (10, 10): worth 10 at the centre."""
    values = np.array([[10.0, 0.0], [0.0, 10.0]])
    assert optimistic_values(np.array([[0.5, 0.5], [0.2, 0.8]]), np.eye(2), values) == pytest.approx([10, 10])
    visited = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])  # nothing better than 5 there
    assert optimistic_values(np.array([[0.5, 0.5], [0.25, 0.75]]), visited, values) == pytest.approx([5, 7.5])
    assert optimistic_values(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), values)[0] == np.inf


@pytest.mark.parametrize("size", [2, 3, 4])
def test_bounds_hold_for_every_value_that_the_visited_weights_allow(size):
    rng = np.random.default_rng(size)
    values, visited = rng.normal(size=(8, size)), np.concatenate([np.eye(size), rng.dirichlet(np.ones(size), 3)])
    weights = rng.dirichlet(np.ones(size), 10)
    bounds = optimistic_values(weights, visited, values)
    assert (bounds >= (weights @ values.T).max(axis=1) - 1e-9).all()
    known = (visited @ values.T).max(axis=1)
    others = rng.normal(size=(100_000, size)) * 2
    allowed = others[(others @ visited.T <= known).all(axis=1)]
    assert len(allowed) > 100
    assert ((weights @ allowed.T).max(axis=1) <= bounds + 1e-9).all()


def test_the_gap_closes_as_preferences_are_visited_and_does_not_depend_on_units():
    front = np.array([[0.0, 10.0], [4.0, 8.0], [7.0, 5.0], [9.0, 1.0]])
    gaps = []
    visited, values = np.eye(2), front[[0, 3]]
    for _ in range(5):
        weights, gap = corners_by_gap(values, visited)
        other = corners_by_gap(values * [1, 1000], visited * [1, 1 / 1000] / (visited * [1, 1 / 1000]).sum(1)[:, None])
        assert other.gap[0] == pytest.approx(gap[0], abs=1e-6)
        gaps.append(gap[0])
        best = front[(front @ weights[0]).argmax()]
        visited, values = np.concatenate([visited, weights[:1]]), np.concatenate([values, best[None]])
    assert gaps[0] == pytest.approx(0.5)
    assert np.all(np.diff(gaps) <= 1e-9)
    assert gaps[-1] == pytest.approx(0, abs=1e-9)
    assert {tuple(row) for row in values} == {tuple(row) for row in front}


def test_nothing_visited_bounds_nothing():
    assert corners_by_gap([[0.0, 1.0], [1.0, 0.0]], np.zeros((0, 2))).gap.tolist() == [1, 1, 1]


def test_weights_that_show_different_values():
    values = np.array([[0.0, 10.0], [4.0, 8.0], [9.0, 1.0]])
    assert supporting(equally_spaced_weights(2, 5), values).tolist() == [0, 1, 3]


def test_many_values_of_many_objectives_are_thinned():
    """Nine objectives, as building-9d has them: in seconds."""
    values = np.abs(np.random.default_rng(0).normal(size=(60, 9)))
    weights, gap = corners_by_gap(values, np.eye(9))
    assert weights.shape[1] == 9
    assert len(weights) <= 200
    assert {tuple(row) for row in np.eye(9)} <= {tuple(row) for row in weights.round(9)}
    assert (np.diff(gap) <= 1e-8).all()
