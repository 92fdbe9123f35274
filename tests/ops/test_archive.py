"""The jitted archive against the NumPy functions and a list."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from morl.ops import archive as archives
from morl.ops.pareto import crowding_distance, non_dominated

N, R = 16, 3
clouds = hnp.arrays(np.float32, (N, R), elements=st.integers(-3, 3).map(float))
masks = hnp.arrays(np.bool_, (N,))
insert = jax.jit(archives.insert)


@settings(deadline=None, max_examples=60)
@given(clouds, masks)
def test_masked_functions_are_the_numpy_ones_on_the_valid_points(points, valid):
    got = np.asarray(archives.non_dominated_masked(jnp.asarray(points), jnp.asarray(valid)))
    assert not got[~valid].any()
    np.testing.assert_array_equal(got[valid], non_dominated(points[valid], keep_duplicates=False))


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(N)), masks)
def test_masked_crowding_distance(order, valid):
    """Distinct values in each objective: with ties the two may order equals differently."""
    points = np.column_stack([np.arange(N), np.asarray(order), -(np.asarray(order) ** 2)]).astype(np.float32)
    got = np.asarray(archives.crowding_distance_masked(jnp.asarray(points), jnp.asarray(valid)))
    np.testing.assert_allclose(got[valid], crowding_distance(points[valid]), rtol=1e-5)
    assert (got[~valid] == 0).all()


def new(capacity):
    return archives.empty(capacity, R, {"name": jnp.int32(0), "twice": jnp.zeros(R)})


def offer(archive, points, names, valid=None):
    points = jnp.asarray(points, jnp.float32)
    items = {"name": jnp.asarray(names, jnp.int32), "twice": 2 * points}
    return insert(archive, points, items, jnp.ones(len(points), bool) if valid is None else jnp.asarray(valid))


@settings(deadline=None, max_examples=60)
@given(st.lists(clouds, min_size=1, max_size=4))
def test_below_capacity_it_holds_exactly_the_non_dominated_ones(batches):
    archive = new(4 * N)
    for i, batch in enumerate(batches):
        archive = offer(archive, batch, np.arange(N) + i * N)
    points, items = archives.compact(archive)
    everything = np.concatenate(batches)
    expected = non_dominated(everything, keep_duplicates=False)
    assert sorted(map(tuple, points)) == sorted(map(tuple, everything[expected].astype(float)))
    np.testing.assert_array_equal(items["twice"], 2 * points)
    # each return still belongs to the first candidate that had it
    np.testing.assert_array_equal(np.sort(items["name"]), np.flatnonzero(expected))
    np.testing.assert_array_equal(everything[items["name"]], points)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_beyond_capacity_the_extremes_stay_and_the_most_crowded_go(seed, capacity):
    points = np.random.default_rng(seed).dirichlet(np.ones(R), N).astype(np.float32)  # none dominates another
    kept, items = archives.compact(offer(new(capacity), points, np.arange(N)))
    assert len(kept) == capacity
    np.testing.assert_array_equal(points[items["name"]], kept)
    left = list(range(N))
    while len(left) > capacity:
        distance = crowding_distance(points[left])
        if not np.isfinite(distance.min()):
            left.pop()
        else:
            left.pop(int(np.argmin(distance)))
    if capacity >= 2 * R:  # the extremes fit: the best of each objective is still there
        np.testing.assert_array_equal(kept.max(axis=0), points.max(axis=0))
    np.testing.assert_array_equal(np.sort(items["name"]), left)


def test_what_is_not_finite_or_not_valid_is_refused():
    points = np.array([[1, 1, 1], [np.nan, 9, 9], [np.inf, 9, 9], [5, 5, 5]], np.float32)
    kept, items = archives.compact(offer(new(4), points, [0, 1, 2, 3], [True, True, True, False]))
    np.testing.assert_array_equal(kept, [[1, 1, 1]])
    np.testing.assert_array_equal(items["name"], [0])


def test_archives_of_several_seeds_side_by_side():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(3, N, R)).astype(np.float32)
    items = {"name": np.tile(np.arange(N, dtype=np.int32), (3, 1)), "twice": 2 * points}
    stacked = jax.tree.map(lambda x: jnp.stack([x] * 3), new(5))
    together = jax.jit(jax.vmap(archives.insert))(stacked, points, items, np.ones((3, N), bool))
    for i in range(3):
        alone = offer(new(5), points[i], np.arange(N))
        for one, two in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_array_equal(one, two[i])


def test_inserting_compiles_once():
    traces = []

    @jax.jit
    def counted(*args):
        traces.append(None)
        return archives.insert(*args)

    archive = new(6)
    for seed in range(4):
        points = jnp.asarray(np.random.default_rng(seed).normal(size=(N, R)), jnp.float32)
        archive = counted(archive, points, {"name": jnp.arange(N, dtype=jnp.int32), "twice": points}, jnp.ones(N, bool))
    assert len(traces) == 1


@settings(deadline=None, max_examples=60)
@given(clouds, masks)
def test_masked_crowding_distance_with_ties(points, valid):
    """Both sort stably, so that of equal ones they take the same as the extreme."""
    got = np.asarray(archives.crowding_distance_masked(jnp.asarray(points), jnp.asarray(valid)))
    np.testing.assert_allclose(got[valid], crowding_distance(points[valid]), rtol=1e-5)


def test_masked_functions_ignore_what_invalid_rows_hold():
    points = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf], [2.0, 1.0], [9.0, 9.0]])
    valid = jnp.array([True, False, True, False])
    with jax.numpy_rank_promotion("raise"):
        np.testing.assert_array_equal(archives.non_dominated_masked(points, valid), valid)
        np.testing.assert_array_equal(archives.crowding_distance_masked(points, valid), [jnp.inf, 0, jnp.inf, 0])


@settings(deadline=None, max_examples=40)
@given(st.lists(clouds, min_size=1, max_size=4))
def test_invariants_beyond_capacity_over_many_rounds(batches):
    archive = new(6)
    for batch in batches:
        archive = offer(archive, batch, np.arange(N))
    points, items = archives.compact(archive)
    assert 0 < len(points) <= 6
    assert non_dominated(points, keep_duplicates=False).all()
    np.testing.assert_array_equal(items["twice"], 2 * points)
    np.testing.assert_array_equal(archive.valid, np.arange(6) < len(points))  # the taken rows come first


def test_of_two_close_neighbours_one_stays():
    """Both are the most crowded; dropping two at once would leave a hole between 0 and 10."""
    x = np.array([0, 4.9, 5, 5.1, 10], np.float32)
    points = np.stack([x, 10 - x], axis=1)
    archive = insert(archives.empty(3, 2, jnp.float32(0)), points, x, np.ones(5, bool))
    kept = archives.compact(archive)[1].tolist()
    assert len(kept) == 3
    assert {0.0, 10.0} < set(kept)


def test_the_best_of_each_objective_survives_many_rounds():
    rng = np.random.default_rng(3)
    archive, best = new(8), np.full(R, -np.inf)
    for _ in range(12):
        points = np.abs(rng.normal(size=(N, R)))
        points = (rng.uniform(0.9, 1.1) * points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
        best = np.maximum(best, points.max(axis=0))
        archive = offer(archive, points, np.arange(N))
        np.testing.assert_array_equal(archives.compact(archive)[0].max(axis=0), best)


def test_with_more_extremes_than_capacity_the_newest_go():
    points, _ = archives.compact(offer(new(2), np.eye(R), np.arange(R)))
    np.testing.assert_array_equal(points, np.eye(R)[:2])
