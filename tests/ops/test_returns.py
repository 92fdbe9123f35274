"""Returns, temporal differences and advantages: numbers by hand, and loops written from the definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops.returns import (
    at_last_step,
    episode_over,
    gae,
    lambda_returns,
    n_step_returns,
    partial_returns,
    td_errors,
)

T, B, R = 12, 3, 2


@pytest.fixture
def data():
    """Random steps [T, B, R] whose episodes end, by both kinds of end."""
    rng = np.random.default_rng(0)
    ends = rng.random((T, B))
    return {
        "reward": rng.normal(size=(T, B, R)).astype(np.float32),
        "value": rng.normal(size=(T, B, R)).astype(np.float32),
        "next_value": rng.normal(size=(T, B, R)).astype(np.float32),
        "terminated": ends < 0.15,
        "over": ends < 0.3,
    }


def advantages(reward, value, next_value, terminated, over, gamma, lambda_):
    """Return generalised advantage estimates the way PPO computes them."""
    discount = gamma * jnp.where(terminated, 0.0, 1.0)
    return gae(td_errors(reward, discount, next_value, value), over, gamma, lambda_)


class TestLambdaReturns:
    def test_by_hand(self):
        """Last to first: 3 + 0.5 * 8 = 7; 2 + 0.5 (0.75 * 4 + 0.25 * 7) = 4.375; 1 + 0.5 (0.75 * 2 + 0.25 * 4.375)."""
        returns = lambda_returns(jnp.array([1.0, 2.0, 3.0]), jnp.full(3, 0.5), jnp.array([2.0, 4.0, 8.0]), 0.25)
        np.testing.assert_array_equal(returns, [2.296875, 4.375, 7.0])

    def test_a_discount_of_zero_ends_the_episode(self):
        discount = jnp.array([0.5, 0.0, 0.5])
        returns = lambda_returns(jnp.array([1.0, 2.0, 3.0]), discount, jnp.array([2.0, 4.0, 8.0]))
        np.testing.assert_array_equal(returns, [1 + 0.5 * 2, 2, 3 + 0.5 * 8])

    @pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
    def test_minus_the_values_they_are_the_advantages(self, data, lambda_):
        """Check Schulman et al. (2016), section 3, without truncations, by the values of consecutive observations."""
        over, value = data["terminated"], np.concatenate([data["value"], data["next_value"][-1:]])
        arrays = {"reward": data["reward"], "value": value[:-1], "next_value": value[1:]}
        got = advantages(**arrays, terminated=over, over=over, gamma=0.9, lambda_=lambda_)
        returns = lambda_returns(data["reward"], 0.9 * jnp.where(over, 0.0, 1.0), value[1:], lambda_)
        np.testing.assert_allclose(returns - value[:-1], got, atol=1e-5)


class TestTdErrors:
    def test_by_hand(self):
        """1 + 0.5 * 4 - 2 = 1, and 1 - 2 = -1 where nothing follows, for both objectives."""
        r_t, v_t, v_tm1 = jnp.ones((2, 2)), jnp.full((2, 2), 4.0), jnp.full((2, 2), 2.0)
        np.testing.assert_array_equal(td_errors(r_t, jnp.array([0.5, 0.0]), v_t, v_tm1), [[1, 1], [-1, -1]])

    def test_a_value_that_does_not_follow_may_be_nan(self):
        delta = td_errors(jnp.ones(2), jnp.array([0.0, 1.0]), jnp.array([jnp.nan, 3.0]), jnp.zeros(2))
        np.testing.assert_array_equal(delta, [1, 4])


class TestGae:
    def test_by_hand(self):
        """Decay 0.5 * 0.5: 3; 2 alone, as its episode is over; 1 + 0.25 * 2."""
        advantage = gae(jnp.array([1.0, 2.0, 3.0]), jnp.array([False, True, False]), 0.5, 0.5)
        np.testing.assert_array_equal(advantage, [1.5, 2.0, 3.0])

    def test_it_is_the_sum_of_discounted_errors(self, data):
        gamma, lambda_ = 0.9, 0.8
        expected = np.zeros((T, B, R))
        for t in range(T):
            for b in range(B):
                weight = 1.0
                for k in range(t, T):
                    bootstrap = 0.0 if data["terminated"][k, b] else data["next_value"][k, b]
                    expected[t, b] += weight * (data["reward"][k, b] + gamma * bootstrap - data["value"][k, b])
                    if data["over"][k, b]:
                        break
                    weight *= gamma * lambda_
        got = advantages(**{k: jnp.asarray(v) for k, v in data.items()}, gamma=gamma, lambda_=lambda_)
        np.testing.assert_allclose(got, expected, atol=1e-5)

    def test_one_step_cut_off_keeps_its_bootstrap(self):
        """One step, truncated: 1 + 0.5 * 4 - 2 = 1; the same step terminated: 1 - 2 = -1."""
        one = jnp.ones((1, 1, 1))
        for terminated, expected in ((False, 1.0), (True, -1.0)):
            flags = jnp.array([[terminated]]), jnp.array([[True]])
            assert float(advantages(one, 2 * one, 4 * one, *flags, gamma=0.5, lambda_=0.9)[0, 0, 0]) == expected

    def test_vmap_over_policies_changes_nothing(self, data):
        arrays = {k: jnp.asarray(v) for k, v in data.items()}
        single = advantages(**arrays, gamma=0.9, lambda_=0.95)
        stacked = jax.vmap(lambda x: advantages(**x, gamma=0.9, lambda_=0.95))(
            jax.tree.map(lambda x: jnp.stack([x, x]), arrays)
        )
        np.testing.assert_array_equal(stacked[1], single)

    def test_the_axes_behind_time_do_not_matter(self, data):
        one = gae(jnp.asarray(data["reward"][:, 1, 0]), jnp.asarray(data["over"][:, 1]), 0.9, 0.8)
        every = gae(jnp.asarray(data["reward"]), jnp.asarray(data["over"]), 0.9, 0.8)
        np.testing.assert_array_equal(every[:, 1, 0], one)


class TestPartialReturns:
    def test_by_hand(self):
        """1 + 0.5 * 8 = 5; 2 + 0.5 * 5 = 4.5, where the episode ends; 3; and 3 is carried on."""
        over = jnp.array([False, True, False])
        carried, returns = partial_returns(jnp.array([1.0, 2.0, 3.0]), over, 0.5, jnp.float32(8.0))
        np.testing.assert_array_equal(returns, [5.0, 4.5, 3.0])
        assert float(carried) == 3.0

    def test_they_start_again_after_an_end(self, data):
        start = np.ones((B, R), np.float32)
        carried, sums = partial_returns(jnp.asarray(data["reward"]), jnp.asarray(data["over"]), 0.9, jnp.asarray(start))
        for b in range(B):
            total = start[b].astype(float)
            for t in range(T):
                total = 0.9 * total + data["reward"][t, b]
                np.testing.assert_allclose(sums[t, b], total, atol=1e-5)
                if data["over"][t, b]:
                    total = np.zeros(R)
            np.testing.assert_allclose(carried[b], total, atol=1e-5)

    def test_two_halves_are_the_whole(self, data):
        reward, over, start = jnp.asarray(data["reward"]), jnp.asarray(data["over"]), jnp.zeros((B, R))
        _, whole = partial_returns(reward, over, 0.9, start)
        carried, first = partial_returns(reward[:5], over[:5], 0.9, start)
        _, second = partial_returns(reward[5:], over[5:], 0.9, carried)
        np.testing.assert_array_equal(jnp.concatenate([first, second]), whole)


def test_an_episode_is_over_by_either_end_or_a_lost_step():
    flags = jnp.array([[True, False, False, False]]), jnp.array([[False, True, False, False]])
    valid = jnp.array([[True, True, False, True]])
    np.testing.assert_array_equal(episode_over(*flags, valid), [[True, True, True, False]])


class TestNStepReturns:
    @staticmethod
    def flags(length, *at):
        """Return [length] flags that are true at the indices."""
        return jnp.isin(jnp.arange(length), jnp.array(at, int))

    def sums(self, n, *, terminated=(), truncated=(), lost=()):
        """Return the sums of rewards 1, 2, 4, 8, 16 by a discount of 0.5, and the steps that each is of."""
        reward = jnp.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
        found = n_step_returns(
            reward, self.flags(5, *terminated), self.flags(5, *truncated), ~self.flags(5, *lost), 0.5, n
        )
        np.testing.assert_array_equal(found.discount, 0.5**found.num_steps)
        return found.returns[:, 0].tolist(), found.num_steps.tolist()

    def test_one_step_is_the_reward(self):
        assert self.sums(1, terminated=[2], lost=[3]) == ([1, 2, 4, 8, 16], [1, 1, 1, 1, 1])

    def test_it_stays_within_the_rollout(self):
        """1 + 1 + 1; 2 + 2 + 2; 4 + 4 + 4; then 8 + 8 and 16, for want of later steps."""
        assert self.sums(3) == ([3, 6, 12, 16, 16], [3, 3, 3, 2, 1])
        assert self.sums(9) == ([5, 8, 12, 16, 16], [5, 4, 3, 2, 1])

    @pytest.mark.parametrize("kind", ["terminated", "truncated"])
    def test_it_stays_within_the_episode(self, kind):
        """The third step is its episode's last, so it is summed and none after it."""
        assert self.sums(4, **{kind: [2]}) == ([3, 4, 4, 16, 16], [3, 2, 1, 2, 1])

    def test_it_stops_before_a_lost_step(self):
        returns, steps = self.sums(4, lost=[2])
        assert (returns[:2], steps[:2]) == ([2, 2], [2, 1])  # never across the lost step
        assert (returns[3:], steps[3:]) == ([16, 16], [2, 1])

    def test_what_stands_at_the_last_step(self):
        reward, nothing = jnp.ones((5, 1)), self.flags(5)
        found = n_step_returns(reward, self.flags(5, 1), nothing, ~nothing, 0.5, 3)
        tree = {"obs": jnp.arange(10).reshape(5, 2), "terminated": self.flags(5, 1)}
        ends = at_last_step(tree, found.num_steps, 3)
        np.testing.assert_array_equal(ends["obs"][:, 0] // 2, [1, 1, 4, 4, 4])
        np.testing.assert_array_equal(ends["terminated"], [True, True, False, False, False])

    @pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
    def test_against_a_loop(self, n):
        rng = np.random.default_rng(n)
        reward = rng.normal(size=(T, B, R)).astype(np.float32)
        terminated, truncated, valid = rng.random((T, B)) < 0.1, rng.random((T, B)) < 0.1, rng.random((T, B)) > 0.1
        found = jax.jit(n_step_returns, static_argnums=5)(reward, terminated, truncated, valid, 0.9, n)
        for t, b in np.argwhere(valid):
            total, k = reward[t, b].astype(float), 1
            while k < n and t + k < T and not (terminated | truncated)[t + k - 1, b] and valid[t + k, b]:
                total = total + 0.9**k * reward[t + k, b]
                k += 1
            assert int(found.num_steps[t, b]) == k
            np.testing.assert_allclose(found.returns[t, b], total, atol=1e-5)
            np.testing.assert_allclose(found.discount[t, b], 0.9**k, rtol=1e-6)


class TestShapes:
    step, rollout = jnp.zeros((T, B)), jnp.zeros((T, B, R))
    flags = jnp.zeros((T, B), bool)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda x: td_errors(x.rollout, x.step, x.rollout[:-1], x.rollout), r"r_t \(12, 3, 2\), v_t \(11, 3, 2\)"),
            (lambda x: td_errors(x.rollout, x.step.T, x.rollout, x.rollout), r"discount_t must have the leading axes"),
            (lambda x: td_errors(x.step[0, 0], x.step[0, 0], x.step[0, 0], x.step[0, 0]), "a leading time axis"),
            (lambda x: lambda_returns(x.rollout, x.step, x.step), r"r_t \(12, 3, 2\), v_t \(12, 3\)"),
            (lambda x: lambda_returns(x.rollout, x.step[0, 0], x.rollout), r"not shape \(\)"),
            (lambda x: gae(x.rollout, x.flags[:, :1], 0.9, 0.9), r"over_t must .* \(12, 3, 2\), not shape \(12, 1\)"),
            (lambda x: partial_returns(x.rollout, x.flags, 0.9, x.rollout), r"start must have the shape .* \(3, 2\)"),
            (lambda x: partial_returns(x.rollout, x.flags[1:], 0.9, x.rollout[0]), "over_t must have the leading axes"),
            (lambda x: episode_over(x.flags, x.flags, x.flags[1:]), r"valid \(11, 3\)"),
            (lambda x: n_step_returns(x.rollout, x.flags, x.flags, x.flags, 0.9, 0), "n must be at least 1, not 0"),
            (lambda x: n_step_returns(x.rollout[1:], x.flags, x.flags, x.flags, 0.9, 2), "valid must have the leading"),
            (lambda x: at_last_step({"a": x.rollout[1:]}, x.step, 2), "num_steps must have the leading axes"),
        ],
    )
    def test_that_do_not_fit_are_refused_before_tracing(self, call, message):
        with pytest.raises(ValueError, match=message):
            call(self)
