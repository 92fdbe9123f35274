"""N-grams: exact values, counts against every short string, and the steps there and back."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.constructive.ngrams import ALPHABET, BLANK, STOP, NGrams, _counts
from morl.errors import UserError
from morl.ops import metrics
from tests.envs.constructive.constructing import check_backward_steps, follow

A, V, C = (ALPHABET.index(letter) for letter in "AVC")


def test_exact_values_of_three_bigrams():
    env = NGrams()
    values, log_count = env.outcomes()
    assert len(values) == 2451
    assert len(env.true_front()) == 21
    assert metrics.hypervolume(env.true_front(), np.zeros(3)) == pytest.approx(0.409294, abs=1e-6)
    mean = values.mean(axis=1)
    assert mean.max() == pytest.approx(0.648148, abs=1e-6)
    strings = np.exp(log_count).sum()
    assert strings == pytest.approx(sum(20.0**n for n in range(33, 37)), rel=1e-12)


def test_unigrams_are_counted_by_combinatorics():
    """Strings of 17 or 18 letters with i A, j V and k C: a multinomial coefficient times 17 to the rest."""
    from math import factorial

    values, log_count = NGrams(("A", "V", "C")).outcomes()
    row = np.flatnonzero((np.round(values * 18) == [3, 2, 5]).all(axis=1))[0]
    number = sum(factorial(n) / (6 * 2 * 120 * factorial(n - 10)) * 17.0 ** (n - 10) for n in (17, 18))
    assert log_count[row] == pytest.approx(np.log(number), rel=1e-12)
    assert len(values) == 1330  # three counts that add up to 18 at most


@pytest.mark.parametrize("ngrams", [("AV", "VC", "CA"), ("A", "VC"), ("AV", "VA"), ("A", "AV", "V", "CV")])
def test_counts_against_every_string(ngrams):
    """Count in all strings of A, V, C and a fourth letter that stands for all others."""
    longest = 4
    table = np.zeros_like(_counts(ngrams, longest))
    others = 20 - len(set("".join(ngrams)))
    letters = [*sorted(set("".join(ngrams))), "-"]
    for length in range(longest + 1):
        for string in map("".join, itertools.product(letters, repeat=length)):
            counts = tuple(sum(string.startswith(gram, i) for i in range(length)) for gram in ngrams)
            table[(length, *counts)] += others ** string.count("-")
    np.testing.assert_array_equal(_counts(ngrams, longest), table)


def test_rewards_are_counts_of_the_finished_string():
    env = NGrams(lengths=(4, 6))
    seen = follow(env, [A, V, A, V, STOP])
    assert [bool(terminated) for *_, terminated in seen] == [False] * 4 + [True]
    assert not any(np.asarray(reward).any() for _, _, reward, _ in seen[:-1])
    np.testing.assert_allclose(seen[-1][2], [2 / 3, 0, 0], rtol=1e-6)
    assert env.text(seen[-1][1]) == "AVAV"
    *_, (_, obs, reward, terminated) = follow(env, [C, A, V, C, A, V])
    assert terminated  # by itself
    assert env.text(obs) == "CAVCAV"
    np.testing.assert_allclose(reward, [2 / 3, 1 / 3, 2 / 3], rtol=1e-6)


def test_stop_is_allowed_from_the_fewest_letters_on():
    env = NGrams(lengths=(2, 3))
    masks = [env.action_mask(obs) for _, obs, _, _ in follow(env, [A, STOP, A, A])]
    np.testing.assert_array_equal(masks[0], [1] * 20 + [0])
    np.testing.assert_array_equal(masks[1], masks[0])  # too early: nothing changed
    np.testing.assert_array_equal(masks[2], [1] * 21)
    np.testing.assert_array_equal(masks[3], [0] * 20 + [1])


@pytest.mark.parametrize("env", [NGrams(lengths=(2, 5)), NGrams(("A", "V"), (3, 3))], ids=["stop", "fixed"])
def test_backward_steps(env):
    for seed in range(4):
        check_backward_steps(env, seed)


def test_batched_strings_are_the_same_as_single_ones():
    env = NGrams(("A", "V"), (2, 4))
    params = env.default_params
    keys = jax.random.split(jax.random.key(0), 3)
    states, _ = jax.vmap(env.reset, (0, None))(keys, params)
    for actions in ([A, V, C], [A, STOP, C], [A, STOP, C], [STOP, STOP, C]):
        states, obs, reward, terminated, *_ = jax.vmap(env.step, (0, 0, 0, None))(
            keys, states, jnp.array(actions), params
        )
    assert [env.text(row) for row in obs] == ["AAA", "V", "CCCC"]
    assert terminated.tolist() == [True, False, True]
    assert reward.tolist() == [[0.75, 0.0], [0.0, 0.0], [0.0, 0.0]]


def test_discounted_front_prefers_short_strings():
    env = NGrams(("A", "V"), (2, 3))
    np.testing.assert_allclose(env.true_front(1.0), [[i / 3, 1 - i / 3] for i in range(4)], atol=1e-12)
    short = env.true_front(0.5)  # two letters and a stop take as long as three letters
    np.testing.assert_allclose(short, env.true_front(1.0) * 0.25)
    env = NGrams(("A", "V"), (1, 3))
    assert metrics.hypervolume(env.true_front(0.5), [0, 0]) == pytest.approx(hypervolume_by_hand(), rel=1e-9)


def hypervolume_by_hand():
    """Check the discounts of one letter and a stop (1/2), and of three letters (1/4)."""
    returns = [[0.5 / 3, 0], [0, 0.5 / 3], *[[i / 12, (3 - i) / 12] for i in range(4)]]
    return metrics.hypervolume(returns, [0, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ngrams": ("AV",)}, "two to four different ones"),
        ({"ngrams": ("AV", "AV")}, "two to four different ones"),
        ({"ngrams": ("AA", "AV")}, "two different letters each, not 'AA'"),
        ({"ngrams": ("AB", "AV")}, "of the letters ARND"),
        ({"lengths": (5, 4)}, "fewest and the most letters"),
        ({"lengths": (1, 1)}, "2 at least"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        NGrams(**settings)


def test_lists_of_a_settings_file_are_taken():
    assert NGrams(["AV", "VC"], [3, 4]) == NGrams(("AV", "VC"), (3, 4))
    assert NGrams().observation_space.contains(np.full(36, BLANK, np.int32))


def test_drawing_from_an_outcome():
    """Check that all 8400 strings of two or three letters are equally likely, in their class and overall."""
    env = NGrams(("AV", "VC"), (2, 3))
    rng = np.random.default_rng(0)
    values, log_count = env.outcomes()
    outcome = rng.choice(len(values), 100_000, p=np.exp(log_count) / np.exp(log_count).sum())
    strings = env.draw(rng, outcome)
    found = np.array([[env.text(row).count(gram) for gram in env.ngrams] for row in strings[:2000]])
    np.testing.assert_allclose(found / [1, 1], values[outcome[:2000]])
    _, times = np.unique(strings, axis=0, return_counts=True)
    assert len(times) == 20**2 + 20**3
    # a chi-square statistic: its mean is one less than the strings, its standard deviation 130
    assert ((times - 100_000 / 8400) ** 2 / (100_000 / 8400)).sum() == pytest.approx(8399, abs=520)
