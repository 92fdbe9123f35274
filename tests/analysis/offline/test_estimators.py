"""Estimators: golden numbers of another package, and exact expectations over all episodes of a small task."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from morl.analysis.offline import estimators
from morl.analysis.offline.values import fit_values, plausible

GAMMA = 0.9
# Two episodes of three steps and two actions.
ACTION = np.array([[0, 1, 1], [1, 0, 1]])
REWARD = np.array([[1.0, 2.0, -1.0], [0.5, 3.0, 4.0]])
BEHAVIOUR = np.array([[0.5, 0.25, 0.8], [0.4, 0.5, 0.2]])  # of the actions taken
TARGET = np.array([[[0.25, 0.75], [0.5, 0.5], [0.6, 0.4]], [[0.2, 0.8], [0.75, 0.25], [0.7, 0.3]]])
Q = np.array([[[1.0, 2.0], [0.5, 1.5], [-1.0, 0.5]], [[2.0, 1.0], [3.0, 2.0], [1.0, 5.0]]])


def taken(x):
    return np.take_along_axis(x, ACTION[..., None], axis=-1)[..., 0]


def f32(x):
    return jnp.asarray(x, jnp.float32)


def two_objectives(x):
    """A second objective that is minus twice the first."""
    return f32(np.stack([x, -2 * x], axis=-1))


@pytest.fixture
def weights():
    return estimators.cumulative_weights(f32(np.log(taken(TARGET) / BEHAVIOUR)))


def test_golden_numbers(weights):
    """SCOPE-RL 0.2.1 gives these: PerDecisionImportanceSampling, SelfNormalizedPDIS and DoublyRobust."""
    np.testing.assert_allclose(weights, [[0.5, 1.0, 0.5], [2.0, 3.0, 4.5]], rtol=1e-6)  # by hand
    reward = two_objectives(REWARD)
    pdis = estimators.per_decision(weights, reward, GAMMA).mean(axis=0)
    np.testing.assert_allclose(pdis, [12.7875, -25.575], rtol=1e-6)
    once = jnp.ones((1, 2), jnp.float32)
    np.testing.assert_allclose(estimators.self_normalised(weights, reward, GAMMA, once)[0], [5.91, -11.82], rtol=1e-6)
    v = (TARGET * Q).sum(axis=-1)
    alive = jnp.ones((2, 3), bool)
    dr = estimators.doubly_robust(weights, reward, two_objectives(taken(Q)), two_objectives(v), alive, GAMMA)
    np.testing.assert_allclose(dr.mean(axis=0), [4.28475, -8.5695], rtol=1e-6)


def test_resamples_are_weighted_copies(weights):
    """An episode that is drawn twice counts as two of it."""
    reward = two_objectives(REWARD)
    doubled = estimators.self_normalised(weights, reward, GAMMA, f32([[2.0, 1.0]]))[0]
    rows = jnp.asarray([0, 0, 1], jnp.int32)
    copies = estimators.self_normalised(weights[rows], reward[rows], GAMMA, jnp.ones((1, 3), jnp.float32))[0]
    np.testing.assert_allclose(doubled, copies, rtol=1e-6)


def test_after_the_end_weights_stay_and_values_do_not_count():
    log_ratio, alive = f32([[np.log(2), 0, 0]]), jnp.asarray([[True, False, False]])
    weights = estimators.cumulative_weights(log_ratio)
    np.testing.assert_allclose(weights, [[2, 2, 2]], rtol=1e-6)
    fives = jnp.full((1, 3, 1), 5.0, jnp.float32)
    reward = f32([[[3.0], [0.0], [0.0]]])
    # 2 (3 - 5) + 5
    np.testing.assert_allclose(
        estimators.doubly_robust(weights, reward, fives, fives, alive, GAMMA), [[1.0]], rtol=1e-6
    )


def test_effective_sample_size_by_hand():
    assert float(estimators.effective_sample_size(jnp.ones(8, jnp.float32))) == 8
    assert float(estimators.effective_sample_size(f32([1, 3]))) == pytest.approx(16 / 10)
    assert float(estimators.effective_sample_size(f32([0, 0]))) == 0
    assert float(estimators.effective_sample_size(f32([1e30, 1e30]))) == pytest.approx(2)  # squares are beyond float32


def test_endless_weights_stay_finite():
    weights = estimators.cumulative_weights(f32([[60, 60, -1e9]]))
    assert np.isfinite(weights).all()
    assert weights[0, 2] == 0


# A task of two states, two actions, two objectives and three steps, which action 1 in state 1 ends early.
STEPS = 3
NEXT = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.1, 0.9]]])  # state, action, next state
PAYS = np.array([[[1.0, 0.0], [0.0, 2.0]], [[-1.0, 0.5], [3.0, -1.0]]])  # state, action, objective
FIRST = np.array([0.6, 0.4])
ACTS = {"behaviour": np.array([[0.5, 0.5], [0.8, 0.2]]), "target": np.array([[0.2, 0.8], [0.6, 0.4]])}


def ends(state, action):
    return state == 1 and action == 1


def exact_values():
    """Q (T, S, A, R) and V (T, S, R) of the target by dynamic programming."""
    q, v = np.zeros((STEPS, 2, 2, 2)), np.zeros((STEPS + 1, 2, 2))
    for t in reversed(range(STEPS)):
        for s, a in itertools.product(range(2), range(2)):
            q[t, s, a] = PAYS[s, a] + (0 if ends(s, a) else GAMMA * NEXT[s, a] @ v[t + 1])
        v[t] = np.einsum("sa,sar->sr", ACTS["target"], q[t])
    return q, v


def episodes():
    """Yield all episodes as lists of (state, action), with their probability under the behaviour."""

    def onwards(path, state, chance):
        for action in range(2):
            own = chance * ACTS["behaviour"][state, action]
            taken = [*path, (state, action)]
            if len(taken) == STEPS or ends(state, action):
                yield taken, own
            else:
                for following in range(2):
                    yield from onwards(taken, following, own * NEXT[state, action, following])

    for state in range(2):
        yield from onwards([], state, FIRST[state])


def arrays(q, v):
    """All episodes as padded arrays: chance, log ratio, reward, q, v, alive."""
    found = list(episodes())
    number = len(found)
    log_ratio, alive = np.zeros((number, STEPS)), np.zeros((number, STEPS), bool)
    reward, taken_q, taken_v = (np.zeros((number, STEPS, 2)) for _ in range(3))
    for e, (path, _) in enumerate(found):
        for t, (s, a) in enumerate(path):
            log_ratio[e, t] = np.log(ACTS["target"][s, a] / ACTS["behaviour"][s, a])
            reward[e, t], taken_q[e, t], taken_v[e, t], alive[e, t] = PAYS[s, a], q[t, s, a], v[t, s], True
    return np.array([chance for _, chance in found]), log_ratio, reward, taken_q, taken_v, alive


def test_expectations_over_all_episodes_are_exact():
    """PDIS, and doubly robust with any Q and V = E[Q], have the target's return as their expectation."""
    q, v = exact_values()
    truth = FIRST @ v[0]
    chance, log_ratio, reward, *_, alive = arrays(q, v)
    assert chance.sum() == pytest.approx(1)
    weights = estimators.cumulative_weights(f32(log_ratio))
    np.testing.assert_allclose(chance @ np.asarray(weights[:, -1]), 1, rtol=1e-5)
    assert np.abs(chance @ np.asarray(reward[:, 0]) - truth).max() > 0.5  # the behaviour's return is another
    np.testing.assert_allclose(
        chance @ np.asarray(estimators.per_decision(weights, f32(reward), GAMMA)), truth, rtol=1e-5
    )
    wrong_q = np.random.default_rng(0).normal(size=q.shape)
    for some in (q, wrong_q):
        value = np.einsum("sa,tsar->tsr", ACTS["target"], some)
        _, _, _, taken_q, taken_v, _ = arrays(some, value)
        dr = estimators.doubly_robust(weights, f32(reward), f32(taken_q), f32(taken_v), jnp.asarray(alive), GAMMA)
        np.testing.assert_allclose(chance @ np.asarray(dr), truth, rtol=1e-5, atol=1e-6)


def test_exact_values_leave_less_variance():
    q, v = exact_values()
    chance, log_ratio, reward, taken_q, taken_v, alive = arrays(q, v)
    weights = estimators.cumulative_weights(f32(log_ratio))
    dr = np.asarray(
        estimators.doubly_robust(weights, f32(reward), f32(taken_q), f32(taken_v), jnp.asarray(alive), GAMMA)
    )
    pdis = np.asarray(estimators.per_decision(weights, f32(reward), GAMMA))
    variance = [chance @ (x - chance @ x) ** 2 for x in (dr, pdis)]
    assert (variance[0] < 0.5 * variance[1]).all()


def test_the_model_of_values_finds_exact_ones():
    """One feature for each step and state holds any Q: the fit finds that of dynamic programming."""
    q, v = exact_values()
    rng = np.random.default_rng(1)
    state, action, reward, last, half, steps = [], [], [], [], [], []
    found = list(episodes())
    chances = np.array([chance for _, chance in found])
    for e, which in enumerate(rng.choice(len(found), 6000, p=chances / chances.sum())):
        path = found[which][0]
        for t, (s, a) in enumerate(path):
            state.append(np.eye(2 * STEPS)[2 * t + s])
            action.append(a)
            reward.append(PAYS[s, a])
            last.append(t == len(path) - 1)
            half.append(e % 2 == 0)
            steps.append((t, s, a))
    half = np.array(half)
    expected = np.array([ACTS["target"][s] for _, s, _ in steps])
    got_q, got_v = fit_values(
        f32(state),
        f32(np.eye(2)[action]),
        f32(expected),
        f32(reward),
        jnp.asarray(last),
        f32(np.stack([half, ~half], axis=1)),
        GAMMA,
    )
    # each half is a sample, of transitions to the next state
    np.testing.assert_allclose(got_q, [q[x] for x in steps], atol=0.25)
    np.testing.assert_allclose(got_v, [v[t, s] for t, s, _ in steps], atol=0.25)


def test_impossible_values_are_dropped():
    q = f32([[1.0, 50.0, np.nan], [2.0, 1.0, 0.0]])
    fitted = plausible(q, q, f32([2.0, 2.0, 2.0]))
    assert fitted.failed.tolist() == [False, True, True]
    np.testing.assert_array_equal(fitted.q, [[1, 0, 0], [2, 0, 0]])
