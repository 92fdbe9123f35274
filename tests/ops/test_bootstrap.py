"""Interquartile means, probabilities of improvement, and how often their intervals hold the truth."""

import numpy as np
import pytest

from morl.ops.bootstrap import bootstrap_interval, interquartile_mean, probability_of_improvement


def test_as_rliable_does():
    """Golden numbers of rliable 1.2.0's aggregate_iqm and probability_of_improvement."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=11), rng.normal(0.4, size=7)
    assert interquartile_mean(x) == pytest.approx(-0.24132515075622463, rel=1e-9)
    assert probability_of_improvement(x, y) == pytest.approx(0.4155844155844156, rel=1e-9)


def test_by_hand():
    """Leave out the least and the largest of five values; count one larger and one equal pair of six."""
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, -50.0])) == pytest.approx(2)
    assert interquartile_mean(np.array([1.0, 2.0, 9.0])) == pytest.approx(4)
    assert probability_of_improvement(np.array([1.0, 3.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(1.5 / 6)


def test_statistics_are_of_the_named_axis():
    x, y = np.random.default_rng(0).normal(size=(2, 4, 6))
    np.testing.assert_allclose(interquartile_mean(x, axis=0), [interquartile_mean(column) for column in x.T])
    expected = [probability_of_improvement(one, two) for one, two in zip(x.T, y.T, strict=True)]
    np.testing.assert_allclose(probability_of_improvement(x, y, axis=0), expected)


def test_intervals_cover():
    """Check on normal samples that the interval holds the mean in most of 200 cases, and is not the whole range."""
    rng, inside, wide = np.random.default_rng(0), 0, []
    for _ in range(200):
        x = rng.normal(size=20)
        interval = bootstrap_interval((x,), interquartile_mean, 300, rng)
        inside += interval.low <= 0 <= interval.high
        wide.append(interval.high - interval.low)
    assert 175 <= inside <= 198
    assert 0.6 < np.mean(wide) < 1.2


def test_one_value_has_no_interval():
    rng = np.random.default_rng(0)
    alone = bootstrap_interval((np.array([2.0]),), interquartile_mean, 100, rng)
    assert alone.value == 2
    assert np.isnan([alone.low, alone.high]).all()
    pair = bootstrap_interval((np.array([2.0, 3.0]), np.array([2.5])), probability_of_improvement, 100, rng)
    assert pair.value == 0.5
    assert np.isnan([pair.low, pair.high]).all()
