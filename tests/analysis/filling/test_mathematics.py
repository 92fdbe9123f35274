"""Surrogates, lines, mixtures and merges against numbers that are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from morl.analysis.filling.lines import neighbours, shortfalls
from morl.analysis.filling.merging import inner_products, merged, merged_preferences
from morl.analysis.filling.mixture import mixture_hypervolume
from morl.analysis.filling.proposals import HIGH, LOW, proposals, ranked, sampled, spread
from morl.analysis.filling.search import base_of, weights_of
from morl.analysis.filling.surrogate import fit_surrogate, num_terms
from morl.errors import UserError
from morl.ops.metrics import hypervolume
from morl.ops.pareto import non_dominated
from morl.ops.running_statistics import RunningStats, deviation, init, normalise, update

RNG = np.random.default_rng(0)
THIRD = np.full(3, 1 / 3)


# --- Surrogates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [2, 3, 5])
def test_a_quadratic_is_fitted_exactly(members):
    constant, slope = RNG.normal(size=2), RNG.normal(size=(members, 2))
    half = RNG.normal(size=(members, members, 2))
    curvature = half + half.transpose(1, 0, 2)

    def known(c):
        return constant + c @ slope + np.einsum("ki,ijr,kj->kr", c, curvature, c) / 2

    points = sampled(2 * num_terms(members), members, RNG)
    found = fit_surrogate(points, known(points))
    np.testing.assert_allclose(found.constant, constant, atol=1e-8)
    np.testing.assert_allclose(found.slope, slope, atol=1e-8)
    np.testing.assert_allclose(found.curvature, curvature, atol=1e-8)
    elsewhere = RNG.uniform(LOW, HIGH, (50, members))
    np.testing.assert_allclose(found(elsewhere), known(elsewhere), atol=1e-8)
    np.testing.assert_allclose([*found.fit, *found.left_out], 1.0)


def test_points_left_out_tell_noise_from_a_law():
    points = sampled(20, 3, RNG)
    noise = RNG.normal(size=(20, 2))
    found = fit_surrogate(points, noise)
    assert (found.fit > 0.2).all()  # ten terms follow anything
    assert (found.left_out < 0.1).all()
    rows = np.arange(20)
    by_hand = np.stack([fit_surrogate(points[rows != i], noise[rows != i])(points[i : i + 1])[0] for i in rows])
    expected = 1 - ((noise - by_hand) ** 2).sum(axis=0) / ((noise - noise.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.left_out, expected)


def test_an_objective_that_does_not_vary_and_too_few_points():
    points = sampled(12, 2, RNG)
    found = fit_surrogate(points, np.stack([np.full(12, 3.0), points[:, 0]], axis=1))
    np.testing.assert_allclose(found.fit, [1.0, 1.0])
    few = fit_surrogate(points[:3], points[:3])
    np.testing.assert_allclose(few(points[:3]), points[:3], atol=1e-9)
    assert np.isnan(few.left_out).all()


# --- Lines ------------------------------------------------------------------------------------------------------------


def test_neighbours_on_a_curve_are_next_to_each_other():
    t = RNG.permutation(np.linspace(0, 1, 9))
    pairs = neighbours(np.stack([1000 * t, (1 - t**2)], axis=1))
    order = np.argsort(np.argsort(t))
    assert {tuple(sorted(order[list(pair)])) for pair in pairs} == {(i, i + 1) for i in range(8)}
    assert neighbours(np.ones((1, 2))).shape == (0, 2)


def test_neighbours_hold_together():
    points = RNG.normal(size=(30, 3))
    reached = {0}
    pairs = neighbours(points)
    for _ in range(30):
        reached |= {int(end) for pair in pairs if reached & set(map(int, pair)) for end in pair}
    assert len(reached) == 30
    assert len(pairs) < 60


def test_returns_below_a_line():
    ends, shares, span = np.array([[0.0, 8.0], [4.0, 0.0]]), np.array([0.25, 0.5, 0.75]), np.array([4.0, 16.0])
    straight = ends[0] + shares[:, None] * (ends[1] - ends[0])
    np.testing.assert_array_equal(shortfalls(ends, straight, shares, span), [0, 0])
    np.testing.assert_array_equal(shortfalls(ends, straight + 1, shares, span), [0, 0])
    lower = straight - [[0, 0], [1, 4], [2, 0]]
    np.testing.assert_array_equal(shortfalls(ends, lower, shares, span), [0.5, 0.25])
    assert np.isnan(shortfalls(ends, lower * [np.nan, 1], shares, span)[0])


# --- Mixtures ---------------------------------------------------------------------------------------------------------


def test_mixtures_of_two_objectives_by_hand():
    corners = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert mixture_hypervolume(corners, np.zeros(2)) == pytest.approx(2.0)  # a triangle; alone they have none
    assert mixture_hypervolume(corners, np.array([0.5, 0.5])) == pytest.approx(0.5)  # cut off, ends below it
    assert mixture_hypervolume(corners, np.array([1.0, 1.0])) == pytest.approx(0.0)
    assert mixture_hypervolume(corners, np.array([-1.0, -1.0])) == pytest.approx(7.0)
    assert mixture_hypervolume(np.array([[1.0, 3.0]]), np.zeros(2)) == pytest.approx(3.0)
    assert mixture_hypervolume(np.ones((2, 6)), np.zeros(6)) is None


def test_mixtures_of_three_objectives():
    assert mixture_hypervolume(6 * np.eye(3), np.zeros(3)) == pytest.approx(36)
    points, reference = RNG.normal(size=(7, 3)) * [1, 100, 0.01], np.array([-0.5, -60.0, 0.001])
    shares = RNG.dirichlet(np.full(7, 0.3), 20_000)
    many = hypervolume(shares @ points, reference)
    assert many * 0.999 <= mixture_hypervolume(points, reference) <= many * 1.1


# --- Merges -----------------------------------------------------------------------------------------------------------


def policies(n=3):
    stats = [update(init(2), jnp.asarray(RNG.normal(i, i + 1, (50, 2)), jnp.float32), jnp.ones(50)) for i in range(n)]
    stacked = RunningStats(*[np.stack(parts) for parts in zip(*stats, strict=True)])
    return {"w": RNG.normal(size=(n, 4, 2)).astype(np.float32), "stats": stacked, "count": np.full(n, 7, np.int32)}


def test_merges_are_weighted_sums_with_one_normaliser():
    params = policies()
    weights = np.array([[0.5, 0.25, 0.25], [1.5, -0.5, 0.0], [0.0, 1.0, 0.0]])
    found = merged(params, weights)
    np.testing.assert_allclose(found["w"], np.einsum("kn,nij->kij", weights, params["w"]), rtol=1e-5, atol=1e-6)
    spreads = np.stack([deviation(RunningStats(*(part[i] for part in params["stats"]))) for i in range(3)])
    for i, row in enumerate(weights):
        mine = RunningStats(*(part[i] for part in found["stats"]))
        np.testing.assert_allclose(deviation(mine), np.prod(spreads ** row[:, None], axis=0), rtol=1e-5)
        np.testing.assert_allclose(mine.mean, row @ params["stats"].mean, rtol=1e-5, atol=1e-6)
        assert np.isfinite(normalise(mine, jnp.ones((1, 2)))).all()
    for one, other in zip(found["stats"], params["stats"], strict=True):
        np.testing.assert_array_equal(one[2], other[1])  # alone it is itself, bit for bit
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(found["w"][2], params["w"][1])
    np.testing.assert_array_equal(found["count"], [7, 7, 7])


def test_whole_numbers_that_differ_cannot_be_merged():
    with pytest.raises(UserError, match="whole numbers that differ"):
        merged({"table": np.arange(3)}, THIRD[None])


def test_a_merge_of_merges_is_a_merge():
    params, first = policies(), np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6]])
    second = np.array([[0.3, 0.7]])
    twice, once = merged(merged(params, first), second), merged(params, second @ first)
    np.testing.assert_allclose(twice["w"], once["w"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(twice["stats"].var, once["stats"].var, rtol=1e-4)


def test_coefficients_and_preferences():
    members = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for kind in ("mean", "nearest"):
        base = base_of(members, kind)
        found = weights_of(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.5, -0.5]]), members, base)
        np.testing.assert_allclose(found[:2], members)  # c = e_n is the member itself
        np.testing.assert_allclose(found[2], base)
        np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(base, members[0])
    preferences = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    found = merged_preferences(preferences, np.array([[0.5, 0.5, 0.0], [1.5, -0.5, 0.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(found, [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])


def test_distances_in_parameters():
    params = {"a": RNG.normal(size=(4, 3)), "b": RNG.normal(size=(4, 2, 2))}
    flat = np.concatenate([x.reshape(4, -1) for x in params.values()], axis=1)
    one, other = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0, 1.0])
    away = one - other
    expected = ((one @ flat - other @ flat) ** 2).sum()
    assert away @ inner_products(params) @ away == pytest.approx(expected)
    counted = {**params, "stats": policies(4)["stats"]}  # of observations, in their units
    np.testing.assert_array_equal(inner_products(counted), inner_products(params))


# --- Proposals --------------------------------------------------------------------------------------------------------


def test_samples_fill_the_box():
    found = sampled(40, 3, RNG)
    assert found.shape == (40, 3)
    cells = np.sort(((found - LOW) / (HIGH - LOW) * 40).astype(int), axis=0)
    np.testing.assert_array_equal(cells, np.arange(40)[:, None].repeat(3, axis=1))


def test_proposals_are_the_front_of_the_surrogates():
    """Two distances to be short: the front is the line between the two centres."""
    centres = np.array([[0.0, 0.2], [1.0, 0.8]])
    points = sampled(20, 2, RNG)
    distances = ((points[:, None] - centres) ** 2).sum(axis=-1)
    found = proposals(fit_surrogate(points, -distances), np.zeros((0, 2)), 12, np.random.default_rng(1))
    assert len(found) == 12
    along = (found - centres[0]) @ (centres[1] - centres[0]) / 1.36
    off = found - centres[0] - along[:, None] * (centres[1] - centres[0])
    assert np.abs(off).max() < 0.05
    assert along.min() < 0.05
    assert along.max() > 0.95
    known = -np.array([[0.0, 0.3]])  # dominates the first end's half
    found = proposals(fit_surrogate(points, -distances), known, 12, np.random.default_rng(1))
    assert (-((found - centres[1]) ** 2).sum(axis=1) > -0.3).all()


def test_rows_by_rank_and_spread():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    assert set(ranked(points)[:2]) == {3, 4}
    assert sorted(ranked(points)) == [0, 1, 2, 3, 4]
    line = np.stack([np.linspace(0, 1, 11), np.linspace(1, 0, 11)], axis=1)
    assert sorted(spread(line, 3)) == [0, 5, 10]
    assert len(spread(np.ones((4, 2)), 3)) == 1
    assert non_dominated(line).all()
