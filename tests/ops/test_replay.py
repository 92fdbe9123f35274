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
