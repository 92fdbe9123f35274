"""Pareto selection of episodes: dominators against moocore, and parts of episodes by hand."""

import jax
import jax.numpy as jnp
import moocore
import numpy as np
import pytest

from morl.ops.schedules.selection import BLOCK, dominators, episode_factors, selection_factors


@pytest.mark.parametrize("number", [7, BLOCK, 2 * BLOCK + 3])
def test_those_without_dominators_are_the_non_dominated_ones(number):
    rng = np.random.default_rng(number)
    points = rng.integers(0, 12, (number, 3)).astype(np.float32)  # with ties and equal rows
    counted, group = rng.random(number) < 0.8, rng.integers(0, 2, number).astype(np.int32)
    found = np.asarray(jax.jit(dominators)(points, counted, group))
    for each in (0, 1):
        mine = counted & (group == each)
        expected = moocore.is_nondominated(points[mine].astype(float), maximise=True, keep_weakly=True)
        np.testing.assert_array_equal(found[mine] == 0, expected)
    better = (points[:, None] >= points[None]).all(axis=-1) & (points[:, None] > points[None]).any(axis=-1)
    np.testing.assert_array_equal(found, (better & (group[:, None] == group) & counted[:, None]).sum(axis=0))


def test_factors_by_hand():
    """Hard: 3 of one group, of which 2 are non-dominated, count 3 / 2; one of a group of its own counts 1."""
    found, counted = jnp.array([0, 2, 0, 0, 0]), jnp.array([True, True, True, False, True])
    group = jnp.array([0, 0, 0, 0, 1])
    np.testing.assert_allclose(selection_factors(found, counted, group, 2, "hard"), [1.5, 0, 1.5, 0, 1])
    np.testing.assert_allclose(selection_factors(found, counted, group, 2, "soft"), [1, 1 / 3, 1, 0, 1])


def test_the_vector_of_an_episode_is_its_return_less_the_value_of_its_start():
    """Four parts of episodes in two environments; a lost step is none. V is 1 at starts, and 4 where a part is cut."""
    gamma, start, cut = 0.5, np.array([1.0, 1.0]), np.array([4.0, 4.0])
    rewards = np.array(
        [[[1, 0], [0, 1]], [[2, 0], [0, 2]], [[0, 9], [9, 9]], [[1, 1], [3, 3]]], np.float32
    )  # (T, B, R)
    over = np.array([[False, False], [True, True], [False, True], [False, False]])
    valid = np.ones((4, 2), bool)
    valid[2, 1] = False  # lost
    values = np.zeros((5, 2, 2))
    values[[0, 2], 0], values[[0, 3], 1], values[4] = start, start, cut  # 0 between
    ended = np.array([[False, False], [True, True], [False, False], [False, False]])
    following = np.where(ended[..., None], 0, values[1:])
    delta = np.where(valid[..., None], rewards + gamma * following - values[:-1], 0).astype(np.float32)
    # by hand: (1 + 1 - 1, -1), (-1, 1 + 1 - 1), (0 + .5 + .25 x 4 - 1, 9 + .5 + 1 - 1), (3 + 2 - 1, 3 + 2 - 1)
    parts = np.array([[1, -1], [-1, 1], [0.5, 9.5], [4, 4]])
    better = (parts[:, None] >= parts[None]).all(-1) & (parts[:, None] != parts[None]).any(-1)
    assert better.sum(axis=0).tolist() == [1, 2, 0, 0]
    args = delta, jnp.asarray(over), jnp.asarray(valid), jnp.zeros((4, 2), jnp.int32), 1, gamma
    hard, share = episode_factors(*args, "hard")
    np.testing.assert_allclose(share, 0.5)
    np.testing.assert_allclose(hard, [[0, 0], [0, 0], [2, 0], [2, 2]])
    soft, _ = episode_factors(*args, "soft")
    np.testing.assert_allclose(soft, [[1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 0], [1, 1]], rtol=1e-6)
    # the returns by the definition, Σ γ^t r + γ^k V(end) - V(start), of the third part
    by_definition = rewards[2, 0] + gamma * rewards[3, 0] + gamma**2 * cut - start
    np.testing.assert_allclose(by_definition, parts[2])
