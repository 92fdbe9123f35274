"""Utilities, posterior and questions by hand, and against prior samples that are weighed one by one."""

import numpy as np
import pytest

from morl.analysis.preference import posterior
from morl.analysis.preference.elicitation import CLOSE, Elicitation
from morl.analysis.preference.posterior import LAPSES, Answer, Posterior, log_likelihood, probability, resampled
from morl.analysis.preference.questions import RULES, candidates, information, next_question, value_of_best
from morl.analysis.preference.utilities import (
    BASE,
    FAMILIES,
    LINEAR,
    ORDER,
    POWER,
    families_of,
    normalised,
    utilities,
    weights_of,
)
from morl.errors import UserError
from morl.ops.utilities.named import named_utility
from tests.runs.written_runs import points


def particle(weights, family):
    """A particle of these weights and this family."""
    angle = 2 * np.pi * ((family + 0.5) / len(FAMILIES) - 0.5)
    return np.array([[[np.sqrt(w), 0.0] for w in weights] + [[np.sin(angle), np.cos(angle)]]])


def test_returns_are_counted_in_the_ranges_of_the_front():
    found = normalised(np.array([[1.0, -20.0, 5.0], [3.0, -10.0, 5.0], [2.0, -40.0, 5.0]]))
    np.testing.assert_allclose(found, [[0, 2 / 3, 1], [1, 1, 1], [0.5, 0, 1]])


@pytest.mark.parametrize("family", range(len(FAMILIES)))
def test_each_family_is_that_of_the_library(family):
    """The distance is between Tchebycheff's, whose order is infinite, and that times R^(1 / order)."""
    weights, x = np.array([0.2, 0.5, 0.3]), np.random.default_rng(0).uniform(0.01, 0.99, (20, 3))
    found = utilities(particle(weights, family), x)[0]
    shape = {"point": [-BASE] * 3, "power": {2: 0.0, 3: POWER}.get(family, 1.0)}
    if family == len(FAMILIES) - 1:
        far = -np.asarray(named_utility("tchebycheff", 3, point=[1.0] * 3)(x, weights)) / weights.max()
        assert ((1 - found) <= far * 3 ** (1 / ORDER) + 1e-6).all()
        assert ((1 - found) >= far * 3 ** (-1 / ORDER) - 1e-6).all()
        exact = np.linalg.norm(weights * (1 - x), ord=ORDER, axis=1) / np.linalg.norm(weights, ord=ORDER)
        np.testing.assert_allclose(found, 1 - exact, rtol=1e-9)
    else:
        name = "linear" if family < LINEAR else "p-mean"
        expected = np.asarray(named_utility(name, 3, **shape)(x, weights)) - (BASE if family >= LINEAR else 0)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    ends = utilities(particle(weights, family), np.array([[0.0] * 3, [1.0] * 3]))[0]
    np.testing.assert_allclose(ends, [0, 1], atol=1e-9)


def test_weights_are_uniform_on_the_simplex_before_the_first_answer():
    """Means, variances and covariance of Dirichlet(1, 1, 1, 1) are 1/4, 3/80 and -1/80."""
    drawn = np.random.default_rng(0).standard_normal((100_000, 5, 2))
    weights = weights_of(drawn)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 4, atol=2e-3)
    covariance = np.cov(weights.T)
    np.testing.assert_allclose(np.diag(covariance), 3 / 80, rtol=0.02)
    np.testing.assert_allclose(covariance[0, 1:], -1 / 80, rtol=0.05)
    np.testing.assert_allclose(np.bincount(families_of(drawn)) / 100_000, 1 / len(FAMILIES), atol=5e-3)


def test_answers_have_the_likelihood_of_bradley_and_terry():
    even, sure = probability(np.array([0.0, 10.0]))
    assert even == pytest.approx(0.5)
    assert sure == pytest.approx(1 - LAPSES / 2)
    difference = posterior.NOISE * np.log(3)
    assert probability(np.array(difference)) == pytest.approx(LAPSES / 2 + (1 - LAPSES) * 0.75)
    both = log_likelihood(np.array(difference), 1.0) + log_likelihood(np.array(difference), 0.0)
    assert log_likelihood(np.array(difference), 0.5) == pytest.approx(both / 2)


def test_particles_are_the_posterior():
    """The same moments as 200 000 draws of the prior, each weighed by the likelihood of all answers."""
    front = normalised(points(3, 12, 3))
    answers = [Answer(0, 11, True), Answer(3, 8, False), Answer(2, 5, None), Answer(7, 1, True)]
    found = Posterior(front, seed=1)
    for answer in answers:
        found.learn(answer)
    prior = np.random.default_rng(9).standard_normal((200_000, 4, 2))
    values = utilities(prior, front)
    logs = sum(log_likelihood(values[:, a.first] - values[:, a.second], a.share) for a in answers)
    chance = np.exp(logs - logs.max())
    chance /= chance.sum()
    assert 1 / np.square(chance).sum() > 1000  # effective draws
    np.testing.assert_allclose(weights_of(found.particles).mean(axis=0), chance @ weights_of(prior), atol=0.025)
    np.testing.assert_allclose(found.utilities.mean(axis=0), chance @ values, atol=0.025)
    linear = chance @ (families_of(prior) < LINEAR)
    assert (families_of(found.particles) < LINEAR).mean() == pytest.approx(linear, abs=0.06)


def test_resampling_takes_each_as_often_as_its_weight_says():
    counts = np.bincount(resampled(np.log([1.0, 2.0, 1e-9, 5.0]), 0.3), minlength=4)
    assert counts.tolist() == [1, 1, 0, 2]
    assert np.bincount(resampled(np.zeros(8), 0.999)).tolist() == [1] * 8


def test_the_values_of_a_question_by_hand():
    """Two users who disagree about the first pair and agree about the second."""
    values = np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.2]])
    first, second = np.array([0, 0]), np.array([1, 2])
    slip = LAPSES / 2
    gain = information(values, first, second)
    entropy = -slip * np.log(slip) - (1 - slip) * np.log(1 - slip)
    assert gain[0] == pytest.approx(np.log(2) - entropy)
    assert value_of_best(values, first, second)[0] == pytest.approx(1 - slip)
    same = np.array([[1.0, 0.0, 0.5]] * 2)
    np.testing.assert_allclose(information(same, first, second), 0, atol=1e-12)
    np.testing.assert_allclose(value_of_best(same, first, second), 1)


@pytest.mark.parametrize("rule", RULES)
def test_no_question_is_asked_twice(rule):
    values = np.random.default_rng(0).uniform(size=(50, 4))
    asked = []
    while (pair := next_question(values, map(frozenset, asked), rule)) is not None:
        asked.append(pair)
    assert len(asked) == len(set(map(frozenset, asked))) == 6


def test_candidates_are_those_that_may_be_the_best():
    values = np.tile(np.linspace(0, 0.5, 100), (10, 1))
    values[3, 7] = 1.0
    assert set(candidates(values)) == {7, *range(77, 100)}


def test_linear_users_are_found_in_eight_questions():
    """Within 2 % of the best, for at least half of them; the verdict's weights have the policy it names."""
    returns = points(0, 60, 3) * [1.0, 10.0, 1000.0]
    seen = []
    for seed in range(9):
        weights = np.random.default_rng(seed).dirichlet(np.ones(3)) / [1, 10, 1000]
        worth = returns @ weights
        elicitation = Elicitation(returns, seed)
        for _ in range(8):
            a, b = elicitation.question()
            elicitation.tell(a, b, bool(worth[a] > worth[b]))
        verdict = elicitation.verdict()
        seen.append((worth.max() - worth[verdict.policy]) / np.ptp(worth))
        assert verdict.best <= verdict.close
        assert verdict.preference is not None
        assert verdict.preference.sum() == pytest.approx(1, abs=1e-9)
        assert np.argmax(returns @ verdict.preference) == verdict.policy
    assert np.median(seen) <= CLOSE
    assert max(seen) < 0.1


def test_a_policy_in_a_dent_is_found_and_has_no_linear_weights():
    """A user of the worst objective alone, on a front with a dent that no weighted sum reaches."""
    first = np.linspace(0, 1, 21)
    returns = np.stack([first, (1 - first**0.5) ** 2], axis=1)
    worth = returns.min(axis=1)
    elicitation = Elicitation(returns)
    for _ in range(8):
        a, b = elicitation.question()
        elicitation.tell(a, b, None if worth[a] == worth[b] else bool(worth[a] > worth[b]))
    verdict = elicitation.verdict()
    assert (worth.max() - worth[verdict.policy]) / np.ptp(worth) <= 0.1
    assert verdict.linear < 0.05
    assert verdict.preference is None


def test_the_same_seed_asks_the_same():
    returns = points(0, 10, 3)
    found = []
    for _ in range(2):
        elicitation = Elicitation(returns, seed=4)
        elicitation.tell(*elicitation.question(), True)
        found.append((elicitation.question(), elicitation.verdict().close))
    assert found[0] == found[1]


def test_what_is_no_question():
    with pytest.raises(UserError, match="one policy"):
        Elicitation(np.zeros((1, 2)))
    elicitation = Elicitation(points(0, 5, 2))
    for pair in ((0, 0), (0, 5), (-1, 2)):
        with pytest.raises(UserError, match="no two policies of this front, which has 5"):
            elicitation.tell(*pair, True)
