"""The ring of rows: what it keeps, what it samples, and how it is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops import replay

ROW = {"x": jax.ShapeDtypeStruct((2,), jnp.float32), "n": jax.ShapeDtypeStruct((), jnp.int8)}


def rows(*numbers):
    return {"x": jnp.array([[n, -n] for n in numbers], jnp.float32), "n": jnp.array(numbers, jnp.int8)}


def test_the_oldest_rows_are_overwritten():
    ring = replay.empty(6, ROW)
    for pair in ((1, 2), (3, 4), (5, 6), (7, 8)):
        ring = jax.jit(replay.add)(ring, rows(*pair))
    np.testing.assert_array_equal(ring.rows["n"], [7, 8, 3, 4, 5, 6])
    np.testing.assert_array_equal(ring.rows["x"], [[n, -n] for n in (7, 8, 3, 4, 5, 6)])
    assert (int(ring.added), int(ring.filled)) == (2, 6)


def test_only_what_was_added_is_sampled_and_all_of_it():
    ring = replay.add(replay.empty(8, ROW), rows(1, 2))
    ring = replay.add(ring, rows(3, 4))
    sampled = replay.sample(ring, jax.random.key(0), 4000)
    np.testing.assert_array_equal(sampled["x"][:, 0], sampled["n"])  # rows stay whole
    values, counts = np.unique(np.asarray(sampled["n"]), return_counts=True)
    assert values.tolist() == [1, 2, 3, 4]
    assert (abs(counts - 1000) < 120).all()


def test_many_rings_at_once():
    rings = jax.tree.map(lambda x: jnp.stack([x, x]), replay.empty(4, ROW))
    rings = jax.vmap(replay.add)(rings, jax.tree.map(lambda *x: jnp.stack(x), rows(1, 2), rows(3, 4)))
    np.testing.assert_array_equal(rings.rows["n"], [[1, 2, 0, 0], [3, 4, 0, 0]])


def test_size():
    assert replay.size_in_bytes(10, ROW) == 10 * (2 * 4 + 1)
    full = replay.empty(10, ROW)
    assert replay.size_in_bytes(10, ROW) == sum(x.nbytes for x in jax.tree.leaves(full.rows))


@pytest.mark.parametrize(("capacity", "sizes"), [(7, [3] * 6), (5, [4, 3, 2, 4]), (6, [2] * 7), (6, [6, 6])])
def test_the_last_rows_are_kept_whatever_the_size_of_batches(capacity, sizes):
    """Both ways of writing: in one piece where the batch divides the capacity, else row by row, over the end too."""
    ring, added = replay.empty(capacity, ROW), []
    for size in sizes:
        batch = range(len(added), len(added) + size)
        ring = jax.jit(replay.add)(ring, rows(*batch))
        added += batch
        assert sorted(ring.rows["n"][: int(ring.filled)].tolist()) == added[-capacity:]
        assert int(ring.added) == len(added) % capacity
        sampled = replay.sample(ring, jax.random.key(len(added)), 300)
        assert set(np.asarray(sampled["n"]).tolist()) == set(added[-capacity:])
        np.testing.assert_array_equal(sampled["x"], np.stack([sampled["n"], -sampled["n"]], axis=1))


def test_a_batch_in_one_piece_is_written_without_a_scatter():
    def program(capacity):
        return str(jax.make_jaxpr(replay.add)(replay.empty(capacity, ROW), rows(1, 2)))

    assert "scatter" not in program(6)
    assert "scatter" in program(7)


def test_many_rings_that_are_written_row_by_row():
    rings = jax.tree.map(lambda x: jnp.stack([x, x]), replay.empty(3, ROW))
    for _ in range(2):
        rings = jax.vmap(replay.add)(rings, jax.tree.map(lambda *x: jnp.stack(x), rows(1, 2), rows(3, 4)))
    np.testing.assert_array_equal(rings.rows["n"], [[2, 2, 1], [4, 4, 3]])


def test_a_batch_beyond_the_capacity_is_refused():
    with pytest.raises(ValueError, match="6 rows are more than the capacity of 5"):
        replay.add(replay.empty(5, ROW), rows(*range(6)))


def prioritised(capacity=5, *numbers, weight=None):
    ring = replay.empty(capacity, ROW, prioritised=True)
    return replay.add(ring, rows(*numbers), weight)


def drawn(ring, number=4000):
    """Return how often each row is drawn, and what the draw says of the last one."""
    sampled, place, priority = jax.jit(replay.sample_by_priority, static_argnums=2)(ring, jax.random.key(0), number)
    np.testing.assert_array_equal(sampled["n"], ring.rows["n"][place])
    np.testing.assert_array_equal(priority, ring.priorities[place])
    return np.bincount(np.asarray(sampled["n"]), minlength=8) / number


@pytest.mark.parametrize("capacity", [4, 8, 9, 100])
def test_rows_are_drawn_in_proportion_to_their_priorities(capacity):
    """Capacities that are cubes, and others: three rows of weights 1, 2 and 5, and one of 0."""
    ring = prioritised(capacity, 1, 2, 3, 4)
    ring = replay.with_priorities(ring, jnp.arange(4), jnp.array([1.0, 2.0, 5.0, 0.0]))
    np.testing.assert_allclose(drawn(ring)[1:5], np.array([1, 2, 5, 0]) / 8, atol=0.03)


def test_many_rows_are_drawn_in_proportion():
    priority = np.random.default_rng(0).uniform(size=5000).astype(np.float32) ** 3
    ring = replay.empty(5000, {"n": jax.ShapeDtypeStruct((), jnp.int32)}, prioritised=True)
    ring = replay.add(ring, {"n": jnp.arange(5000, dtype=jnp.int32)})
    ring = replay.with_priorities(ring, jnp.arange(5000), jnp.asarray(priority))
    found = np.asarray(replay.sample_by_priority(ring, jax.random.key(1), 100_000)[1])
    counts = np.bincount(found, minlength=5000).reshape(50, 100).sum(axis=1) / 100_000
    np.testing.assert_allclose(counts, priority.reshape(50, 100).sum(axis=1) / priority.sum(), rtol=0.15)


def test_new_rows_have_the_largest_priority_and_lost_ones_none():
    ring = prioritised(6, 1, 2)
    np.testing.assert_array_equal(ring.priorities[:6], [1, 1, 0, 0, 0, 0])
    ring = replay.with_priorities(ring, jnp.array([0, 1]), jnp.array([0.5, 3.0]))
    ring = replay.add(ring, rows(3, 4), jnp.array([True, False]))
    np.testing.assert_array_equal(ring.priorities[:6], [0.5, 3, 3, 0, 0, 0])
    assert drawn(ring)[4] == 0
    uneven = replay.add(prioritised(5, 1, 2), rows(3, 4))  # written row by row
    np.testing.assert_array_equal(uneven.priorities[:5], [1, 1, 1, 1, 0])


def test_priorities_of_one_row_given_twice_and_such_that_are_none():
    ring = prioritised(5, 1, 2, 3, weight=jnp.array([1, 1, 0]))
    new = replay.with_priorities(ring, jnp.array([0, 0, 1, 2]), jnp.array([2.0, 0.5, jnp.nan, 4.0]))
    np.testing.assert_array_equal(new.priorities[:5], [2, 1, 0, 0, 0])


def test_a_ring_without_rows_to_draw_gives_rows_of_zeros():
    sampled, place, priority = replay.sample_by_priority(replay.empty(9, ROW, prioritised=True), jax.random.key(0), 10)
    assert not np.asarray(sampled["n"]).any()
    assert not np.asarray(priority).any()
    assert np.asarray(place).max() < 9


def test_size_with_priorities():
    full = replay.empty(10, ROW, prioritised=True)
    assert replay.size_in_bytes(10, ROW, prioritised=True) == sum(
        x.nbytes for x in jax.tree.leaves((full.rows, full.priorities))
    )
