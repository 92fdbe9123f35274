"""The jitted archive against the NumPy functions and a list."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import morl
from morl.ops import archive as archives
from morl.ops.pareto import crowding_distance, non_dominated, thinned
from morl.settings import TrainSettings

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


def candidates(points, items, valid=True, stderr=0.0, episodes=1):
    shape = np.shape(points)
    return archives.Candidates(
        jnp.asarray(points, jnp.float32),
        jnp.asarray(np.broadcast_to(stderr, shape), jnp.float32),
        jnp.asarray(np.broadcast_to(episodes, shape[:-1]), jnp.int32),
        jnp.asarray(np.broadcast_to(valid, shape[:-1])),
        items,
    )


def offer(archive, points, names, valid=True, epsilon=0.0, **numbers):
    points = jnp.asarray(points, jnp.float32)
    items = {"name": jnp.asarray(names, jnp.int32), "twice": 2 * points}
    return insert(archive, candidates(points, items, valid, **numbers), epsilon)


def names(archive):
    return archives.compact(archive)[1]["name"].tolist()


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
    together = jax.jit(jax.vmap(archives.insert))(stacked, candidates(points, items))
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
        items = {"name": jnp.arange(N, dtype=jnp.int32), "twice": points}
        archive = counted(archive, candidates(points, items), 0.01 * seed)
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
    archive = insert(archives.empty(3, 2, jnp.float32(0)), candidates(points, x))
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


# Nine policies of minecart (ore 1, ore 2, fuel) within 0.006 of each other, and three cheap trips.
NINE = [[0.70 + 0.0007 * i, 0.702 - 0.0007 * i, -1.1 + 0.0001 * i] for i in range(9)]
TRIPS = [[0.56, 0.11, -0.65], [0.40, 0.27, -0.67], [0.11, 0.56, -0.65]]


def test_of_nine_near_duplicates_the_extremes_stay():
    """Ranges are 0.5956, 0.592 and 0.45, tolerances of 1 % 0.006, 0.0059 and 0.0045: the nine are one choice.

    The last has the most ore 1 of all, the first the most ore 2.
    """
    points = NINE + TRIPS
    archive = offer(new(20), points, range(12), epsilon=0.01)
    assert names(archive) == [0, 8, 9, 10, 11]
    assert names(offer(new(20), points, range(12))) == list(range(12))
    one_by_one = new(20)
    for i in (9, 10, 11, *range(9)):
        one_by_one = offer(one_by_one, points[i : i + 1], [i], epsilon=0.01)
    assert set(names(one_by_one)) == {0, 8, 9, 10, 11}


def test_of_near_duplicates_the_oldest_stays_and_a_dominating_one_replaces_it():
    ends = [[0.0, 10.0, 0.0], [10.0, 0.0, 0.0]]
    archive = offer(new(9), [*ends, [5.0, 5.0, 0.0]], range(3), epsilon=0.1)
    archive = offer(archive, [[5.5, 4.5, 0.0], [6.5, 3.5, 0.0]], [3, 4], epsilon=0.1)
    assert names(archive) == [0, 1, 2, 4]
    assert names(offer(archive, [[5.0, 5.001, 0.0]], [5], epsilon=0.1)) == [0, 1, 4, 5]


def test_of_policies_closer_than_their_errors_the_one_of_more_episodes_stays():
    """The difference (0.4, 0.4, 0) is within √(0.3² + 0.3²) = 0.42, and not within √(0.2² + 0.3²) = 0.36."""
    archive = offer(new(9), [[1.0, 1.0, 1.0]], [0], stderr=0.3, episodes=128)
    lucky = [[1.4, 1.4, 1.0]]
    assert names(offer(archive, lucky, [1], stderr=0.3, episodes=16)) == [0]
    assert names(offer(archive, lucky, [1], stderr=0.2, episodes=16)) == [1]
    assert names(offer(archive, lucky, [1], stderr=0.3, episodes=128)) == [1]  # the same: the better mean is believed
    unlucky = offer(archive, [[0.7, 0.7, 1.0]], [1], stderr=0.3, episodes=1000)
    assert names(unlucky) == [1]
    assert (unlucky.stderr[0] == np.float32(0.3)).all()
    assert unlucky.episodes.tolist() == [1000, *[0] * 8]


def test_of_several_closer_than_their_errors_only_one_that_stays_counts():
    """Row 0 is near row 1 and row 1 near row 2 of ever more episodes: row 1 goes, and 0 is not near 2."""
    points = [[0.0, 3.0, 0.0], [1.0, 2.0, 0.0], [2.0, 1.0, 0.0]]
    assert names(offer(new(9), points, range(3), stderr=0.8, episodes=[1, 2, 3])) == [0, 2]


def test_at_the_end_those_closer_than_the_error_of_their_difference_are_one():
    """Means (5, 5) and (6, 4). Alike in each episode, they differ by exactly 1; over independent ones by 1 ± 4.

    The deviations of the difference are 5.66 where its episodes differ by 5 and −3, which is 4 for their mean.
    """
    ends, one = np.array([[[0.0, 10.0]] * 2, [[10.0, 0.0]] * 2]), np.array([[3.0, 3.0], [7.0, 7.0]])
    shift = np.array([1.0, -1.0])
    for other, expected in ((one + shift, [True] * 4), ((one + shift)[::-1], [True, True, True, False])):
        samples = np.array([*ends, one, other])
        assert thinned(samples.mean(axis=1), 0.01, samples).tolist() == expected
        assert thinned(samples.mean(axis=1), 0.01).all()
        assert thinned(samples.mean(axis=1), 0.11).tolist() == [True, True, True, False]
    alone = np.array([*ends, one, one + shift])[:, :1]
    assert thinned(alone.mean(axis=1), 0.01, alone).all()  # of one episode there is no error


grids = st.sampled_from([0.0, 1 / 16, 1 / 8, 1 / 4, 1.0])


@settings(deadline=None, max_examples=60)
@given(clouds, masks, grids)
def test_masked_thinning_is_the_numpy_one(points, valid, epsilon):
    valid = np.asarray(archives.non_dominated_masked(jnp.asarray(points), jnp.asarray(valid)))
    got = np.asarray(archives.thinned_masked(jnp.asarray(points), jnp.asarray(valid), epsilon, jnp.zeros(N, jnp.int32)))
    assert not got[~valid].any()
    np.testing.assert_array_equal(got[valid], thinned(points[valid], epsilon))


@settings(deadline=None, max_examples=60)
@given(st.lists(clouds, min_size=1, max_size=4), grids)
def test_invariants_of_an_archive_without_near_duplicates(batches, epsilon):
    """Checked at every insertion, against what was held and offered at it."""
    archive = new(4 * N)
    for batch in batches:
        before = np.concatenate([archives.compact(archive)[0], batch])
        archive = offer(archive, batch, np.arange(N), epsilon=epsilon)
        points, _ = archives.compact(archive)
        front = before[non_dominated(before, keep_duplicates=False)]
        tolerance = epsilon * np.ptp(front, axis=0)
        np.testing.assert_array_equal(points.max(axis=0), front.max(axis=0))
        assert {*map(tuple, points)} <= {*map(tuple, front)}
        assert (points[None] >= (before - tolerance)[:, None]).all(axis=-1).any(axis=1).all()
        near = (np.abs(points[:, None] - points[None]) <= tolerance).all(axis=-1)
        np.fill_diagonal(near, False)
        best = [np.flatnonzero(points[:, j] == points[:, j].max()) for j in range(R)]
        inner = np.setdiff1d(np.arange(len(points)), np.concatenate(best))
        assert not near[np.ix_(inner, np.arange(len(points)))].any()


def test_thinning_whatever_the_unit_and_the_offset():
    """Ranges near the largest number of float32, and differences of few ulps far from 0."""
    line = np.array([[0, 10, 0], [1, 9, 0], [5, 5, 0], [5.5, 4.5, 0], [10, 0, 0]])
    for unit, offset in ((3e37, -1.5e38), (1e20, 0.0), (1e-30, 0.0), (256.0, 1.7e9)):
        assert names(offer(new(9), unit * line + offset, range(5), epsilon=0.07)) == [0, 1, 2, 4], unit
    errors = offer(new(9), 1e30 * line[1:3], range(2), stderr=4e30, episodes=[1, 2])
    assert names(errors) == [1]  # 4e30 in each objective is less than √2 · 4e30


def test_exact_fronts_are_kept_whole_by_the_default_share():
    """The smallest distance of two points in shares of the range is 0.05 and more."""
    for name, kwargs in [
        ("deep-sea-treasure-v0", {}),
        ("deep-sea-treasure-concave-v0", {}),
        *(("fruit-tree-v0", {"depth": depth}) for depth in (5, 6, 7)),
        ("resource-gathering-v0", {}),
    ]:
        for gamma in (1.0, 0.99, 0.95):
            front = morl.make(name, **kwargs).true_front(gamma)
            assert thinned(front, TrainSettings().archive_epsilon).all()
            archive = insert(
                archives.empty(200, front.shape[1], 0),
                candidates(front, jnp.arange(len(front), dtype=jnp.int32)),
                TrainSettings().archive_epsilon,
            )
            np.testing.assert_array_equal(archives.compact(archive)[0], front.astype(np.float32))
