"""Intervals of fronts, and SharpeRatio@k, by hand."""

import numpy as np
import pytest

from morl.analysis.offline import intervals


def test_sharpe_ratio_by_hand():
    # the best three are 5, 4, 1: mean 10/3, deviation with ddof 1 is sqrt(13/3)
    assert intervals.sharpe_ratio(np.array([1.0, 5.0, 0.0, 4.0]), 2.0, 3) == pytest.approx(3 / np.sqrt(13 / 3))
    assert intervals.sharpe_ratio(np.array([1.0, 5.0]), 2.0, 3) == pytest.approx(3 / np.sqrt(8))  # all there are
    assert intervals.sharpe_ratio(np.array([1.0, 5.0]), 7.0, 2) == 0  # none is better than the behaviour
    assert np.isnan(intervals.sharpe_ratio(np.array([5.0]), 2.0, 3))
    assert np.isnan(intervals.sharpe_ratio(np.array([5.0, 5.0]), 2.0, 2))
    many = intervals.sharpe_ratio(np.array([[1.0, 5.0], [0.0, 2.0]]), np.array([2.0, 0.0]), 2)
    np.testing.assert_allclose(many, [3 / np.sqrt(8), 2 / np.sqrt(2)])


def test_share_of_resamples_in_which_a_policy_is_non_dominated():
    fronts = np.array(
        [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [1, 1]]]
    )
    np.testing.assert_allclose(intervals.non_dominated_share(fronts), [3 / 4, 3 / 4])


def test_hypervolumes():
    fronts = np.array([[[1.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [3.0, 1.0]]])
    np.testing.assert_allclose(intervals.hypervolumes(fronts, np.zeros(2)), [3, 3])


def test_intervals_without_bias_are_percentiles():
    values = np.random.default_rng(0).normal(size=(20_001, 2))
    low, high = intervals.percentile(values, np.median(values, axis=0))
    np.testing.assert_allclose(low, np.quantile(values, 0.025, axis=0), atol=0.02)
    np.testing.assert_allclose(high, np.quantile(values, 0.975, axis=0), atol=0.02)


def test_a_bias_of_the_resamples_is_taken_off_twice():
    """The resamples of an estimate lie as far above it as it lies above the truth: the interval is about the truth."""
    values = np.random.default_rng(0).normal(size=20_001) + 0.5
    low, high = intervals.percentile(values, 0.0)
    np.testing.assert_allclose([low, high], [-0.5 - 1.96, -0.5 + 1.96], atol=0.1)


def test_intervals_of_a_mean_hold_it():
    rng, held = np.random.default_rng(3), 0
    for _ in range(200):
        sample = rng.exponential(size=100)
        counts = intervals.resampled_counts(100, 400, rng)
        held += (lambda found: found.low <= 1 <= found.high)(intervals.interval(counts @ sample / 100, sample.mean()))
    assert 178 <= held <= 198
    assert (counts.sum(axis=1) == 100).all()


def test_a_statistic_that_is_not_finite_has_no_interval():
    found = intervals.interval(np.array([1.0, np.nan]), 1.0)
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()
