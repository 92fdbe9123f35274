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


def test_rows_that_would_be_split_are_refused():
    with pytest.raises(ValueError, match="2 rows do not divide a capacity of 5"):
        replay.add(replay.empty(5, ROW), rows(1, 2))
