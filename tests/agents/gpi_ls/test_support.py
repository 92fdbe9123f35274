"""The set M: which preferences a learner remembers, and which it is trained for next."""

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.gpi_ls import schedule, support
from morl.ops.preferences import equally_spaced_weights


def held(found):
    return {tuple(np.asarray(row).round(4).tolist()) for row in found.preference[np.asarray(found.used) > 0]}


def test_the_preferences_used_the_longest_ago_are_replaced():
    refresh = jax.jit(support.refresh)
    m = support.empty(3, 2)
    a, b, c, d = (jnp.array([[x, 1 - x]], jnp.float32) for x in (0.0, 0.25, 0.5, 1.0))
    m = refresh(m, jnp.concatenate([a, b, a]), jnp.int32(1))
    assert held(m) == {(0.0, 1.0), (0.25, 0.75)}
    m = refresh(m, c, jnp.int32(2))
    m = refresh(m, a, jnp.int32(3))
    assert held(m) == {(0.0, 1.0), (0.25, 0.75), (0.5, 0.5)}
    m = refresh(m, d, jnp.int32(4))
    assert held(m) == {(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)}


def test_places_without_a_preference_hold_the_one_acted_for():
    m = support.refresh(support.empty(3, 2), jnp.array([[1.0, 0.0]]), jnp.int32(1))
    found = support.with_own(m, jnp.array([[0.5, 0.5]]))
    assert found.shape == (1, 4, 2)
    assert {tuple(row) for row in np.asarray(found[0]).tolist()} == {(1.0, 0.0), (0.5, 0.5)}
    drawn = np.asarray(support.draw(m, jax.random.key(0), 50))
    np.testing.assert_array_equal(drawn, np.tile([1.0, 0.0], (50, 1)))


def test_members_are_drawn_evenly():
    weights = equally_spaced_weights(2, 4).astype(np.float32)
    m = support.refresh(support.empty(7, 2), jnp.asarray(weights), jnp.int32(1))
    drawn = np.asarray(support.draw(m, jax.random.key(0), 8000))
    values, counts = np.unique(drawn[:, 0], return_counts=True)
    np.testing.assert_allclose(values, np.sort(weights[:, 0]))
    assert abs(counts - 2000).max() < 200


def test_the_first_plan_goes_to_the_corner_between_the_extremes():
    found = schedule.plan(np.array([[10.0, 0.0], [0.0, 10.0]]), np.eye(2), 8, 4)
    assert found.gap == 0.5
    np.testing.assert_allclose(found.members, [[0.5, 0.5], [1, 0], [0, 1]])


def test_a_plan_keeps_what_shows_a_value_and_goes_on_between():
    values = np.array([[10.0, 0.0], [0.0, 10.0], [8.0, 7.0]])
    visited = np.array([[1.0, 0.0], [0.0, 1.0], [0.45, 0.55]])
    found = schedule.plan(values, visited, 8, 4)
    assert tuple(found.members[0].round(3)) in {(0.273, 0.727), (0.778, 0.222)}
    assert {tuple(row) for row in found.members.round(3).tolist()} == {
        (1.0, 0.0), (0.0, 1.0), (0.273, 0.727), (0.778, 0.222), (0.45, 0.55),
    }  # fmt: skip
    assert len(schedule.plan(values, visited, 3, 4).members) == 3


def test_the_whole_front_is_found_by_planning():
    """A policy that is optimal for what it was trained for: linear support finds every point, and says when it has."""
    front = np.array([[0.0, 10.0], [4.0, 8.0], [6.0, 6.5], [7.5, 4.0], [9.0, 1.0]]) * [1, 100]
    members = schedule.first_members(2)
    visited, values, gaps = np.zeros((0, 2)), np.zeros((0, 2)), []
    for _ in range(6):
        visited = np.unique(np.concatenate([visited, members]), axis=0)
        values = front[np.unique((visited @ front.T).argmax(axis=1))]
        members, gap = schedule.plan(values, visited, 16, 4)
        gaps.append(gap)
    assert len(values) == len(front)
    assert gaps[0] > 0.05
    assert gaps[-1] < 1e-6


def test_environments_take_turns():
    members = equally_spaced_weights(2, 5)
    found = np.concatenate([schedule.lanes(members, turn, 2)[0] for turn in range(5)])
    np.testing.assert_array_equal(found, np.concatenate([members, members]))
