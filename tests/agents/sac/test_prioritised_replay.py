"""Priorities of the rows of a ring: what is drawn, how often, and what new priorities change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.sac import prioritised_replay
from morl.ops import replay

ROW = {"n": jax.ShapeDtypeStruct((), jnp.int32)}


def filled(capacity, number, valid=None):
    """Return a ring and its priorities after ``number`` rows 0, 1, ... in one piece."""
    rows = {"n": jnp.arange(number, dtype=jnp.int32)}
    ring, priorities = replay.empty(capacity, ROW), prioritised_replay.empty(capacity)
    valid = jnp.ones(number, bool) if valid is None else jnp.asarray(valid)
    priorities = prioritised_replay.add(priorities, ring, valid)
    return replay.add(ring, rows), priorities


def set_to(priorities, values):
    values = jnp.asarray(values, jnp.float32)
    index = jnp.arange(len(values), dtype=jnp.int32)
    return prioritised_replay.update(priorities, index, values, jnp.ones(len(values)))


@pytest.mark.parametrize("capacity", [100, 256, 1000])
def test_rows_are_drawn_in_proportion_to_their_priorities(capacity):
    """Several blocks, the last one not full, and rows that do not exist."""
    _, priorities = filled(capacity, capacity // 2)
    wanted = np.random.default_rng(0).exponential(size=capacity // 2).astype(np.float32) + 0.01
    priorities = set_to(priorities, wanted)
    draw = jax.jit(prioritised_replay.sample, static_argnums=2)(priorities, jax.random.key(1), 200_000)
    counts = np.bincount(np.asarray(draw.place), minlength=capacity) / 200_000
    assert counts[capacity // 2 :].sum() == 0
    chances = wanted / wanted.sum()
    np.testing.assert_allclose(counts[: capacity // 2], chances, atol=6 * np.sqrt(chances.max() / 200_000))
    np.testing.assert_allclose(draw.probability, chances[np.asarray(draw.place)], rtol=1e-4)


def test_lost_rows_are_never_drawn():
    ring, priorities = filled(8, 4, [True, False, True, False])
    draw = prioritised_replay.sample(priorities, jax.random.key(0), 1000)
    assert set(np.asarray(prioritised_replay.rows_at(ring, draw.place)["n"]).tolist()) == {0, 2}
    after = prioritised_replay.update(priorities, jnp.array([1]), jnp.array([5.0]), jnp.array([0.0]))
    assert float(after.value[1]) == 0


def test_a_ring_without_rows_gives_its_first_place():
    draw = prioritised_replay.sample(prioritised_replay.empty(70), jax.random.key(0), 5)
    assert draw.place.tolist() == [0] * 5


def test_new_rows_are_as_likely_as_the_likeliest():
    ring, priorities = filled(6, 3)
    priorities = set_to(priorities, [0.5, 7.0, 0.1])
    priorities = prioritised_replay.add(priorities, ring, jnp.ones(3, bool))
    np.testing.assert_allclose(priorities.value, [0.5, 7.0, 0.1, 7.0, 7.0, 7.0])


@pytest.mark.parametrize(("capacity", "number"), [(6, 3), (7, 3)])
def test_priorities_are_written_where_rows_are(capacity, number):
    """In one piece, and over the end of the ring."""
    ring, priorities = replay.empty(capacity, ROW), prioritised_replay.empty(capacity)
    for i in range(5):
        numbers = jnp.arange(number * i, number * (i + 1), dtype=jnp.int32)
        valid = numbers % 2 == 0
        priorities = prioritised_replay.add(priorities, ring, valid)
        ring = replay.add(ring, {"n": numbers})
        there = np.asarray(ring.rows["n"])[: int(ring.filled)]
        np.testing.assert_array_equal(np.asarray(priorities.value)[: len(there)] > 0, there % 2 == 0)


def test_a_row_drawn_twice_has_the_larger_priority_and_no_priority_is_not_finite():
    _, priorities = filled(4, 4)
    index = jnp.array([2, 2, 1, 0], jnp.int32)
    after = prioritised_replay.update(priorities, index, jnp.array([3.0, 2.0, jnp.nan, 0.5]), jnp.ones(4))
    np.testing.assert_allclose(after.value, [0.5, 1.0, 3.0, 1.0])
    assert float(after.largest) == 3


def test_importance_weights():
    draw = prioritised_replay.Draw(jnp.array([0, 1]), jnp.array([0.1, 0.4]))
    np.testing.assert_allclose(prioritised_replay.importance_weights(draw, jnp.int32(10), 1.0), [1.0, 0.25], rtol=1e-6)
    np.testing.assert_allclose(prioritised_replay.importance_weights(draw, jnp.int32(10), 0.5), [1.0, 0.5], rtol=1e-6)
    assert prioritised_replay.importance_weights(draw, jnp.int32(10), 0.0).tolist() == [1.0, 1.0]


def test_many_rings_at_once():
    _, one = filled(64, 64)
    both = jax.tree.map(lambda *x: jnp.stack(x), set_to(one, [1.0, 3.0]), set_to(one, [3.0, 1.0]))
    keys = jax.random.split(jax.random.key(0), 2)
    draws = jax.vmap(prioritised_replay.sample, (0, 0, None))(both, keys, 64)
    alone = prioritised_replay.sample(set_to(one, [3.0, 1.0]), keys[1], 64)
    np.testing.assert_array_equal(draws.place[1], alone.place)
