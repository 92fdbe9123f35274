"""Metrics of samplers, by hand and against the exact values of the grids."""

import math

import numpy as np
import pytest

from morl.constructive import metrics as gfn_metrics
from morl.envs.constructive.base import Outcomes
from morl.envs.constructive.hypergrid import HyperGrid
from morl.errors import UserError
from morl.ops.preferences import lattice


@pytest.mark.parametrize(
    ("side", "k", "divisions", "published", "mean"),
    [(8, 2, 49, 0.318688, 0.036986), (32, 2, 49, 0.263389, 0.030568), (32, 3, 10, 0.551187, 0.050316)],
)
def test_r2_of_exact_fronts(side, k, divisions, published, mean):
    front, preferences = HyperGrid(side, k).true_front(), lattice(k, divisions)
    assert gfn_metrics.r2(front, preferences) == pytest.approx(mean, abs=1e-6)
    assert gfn_metrics.r2_published(front, preferences) == pytest.approx(published, abs=1e-6)


def test_a_target_of_two_classes():
    """Three objects of reward 1 and one of e²."""
    found = gfn_metrics.target(Outcomes(np.zeros((2, 2)), np.log([3.0, 1.0])), [0.0, 2.0])
    assert found.log_z == pytest.approx(math.log(3 + math.e**2))
    np.testing.assert_allclose(found.probability, np.array([3, math.e**2]) / (3 + math.e**2))
    shifted = gfn_metrics.target(Outcomes(np.zeros((2, 2)), np.log([3.0, 1.0])), [[-5000.0, -4998.0]])
    np.testing.assert_allclose(shifted.probability[0], found.probability)


def test_l1_distance():
    assert gfn_metrics.l1_distance([[0.5, 0.5, 0.0], [1, 0, 0]], [[0.25, 0.5, 0.25], [0, 0, 1]]).tolist() == [0.5, 2.0]


def test_pareto_clusters_entropy():
    front = [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    assert gfn_metrics.pareto_clusters_entropy(front, front) == pytest.approx(math.log(3))
    assert gfn_metrics.pareto_clusters_entropy([[0.1, 0.8], [0.0, 0.9]], front) == 0
    share = gfn_metrics.pareto_clusters_entropy([[0.1, 0.8], [0.0, 0.9], [0.9, 0.0], [0.1, 1.0]], front)
    assert share == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_the_best_of_each_preference():
    rewards = [[0.1, 0.9, 0.5], [0.4, 0.2, 0.3]]
    assert gfn_metrics.top_k(rewards, 2).tolist() == [[1, 2], [0, 2]]
    assert gfn_metrics.top_k_reward(rewards, 2) == pytest.approx((0.9 + 0.5 + 0.4 + 0.3) / 4)


@pytest.mark.parametrize(
    ("one", "two", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0), ("flaw", "lawn", 2), ("AVAV", "VAVA", 2)],
)
def test_levenshtein(one, two, distance):
    assert gfn_metrics.levenshtein(one, two) == gfn_metrics.levenshtein(two, one) == distance


def test_diversity_is_of_pairs():
    assert gfn_metrics.diversity(["AV", "AC", "CC"]) == pytest.approx((1 + 2 + 1) / 3)


def test_bad_input_is_named():
    with pytest.raises(UserError, match="R2 is of points and preferences of as many objectives"):
        gfn_metrics.r2([[0.1, 0.2]], [[0.2, 0.3, 0.5]])
    with pytest.raises(UserError, match="from 1 to 3, not 4"):
        gfn_metrics.top_k([[1.0, 2.0, 3.0]], 4)
    with pytest.raises(UserError, match="at least two strings"):
        gfn_metrics.diversity(["A"])
