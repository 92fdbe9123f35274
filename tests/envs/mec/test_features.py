"""Features of each server, compared with the exact values of the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.mec import MecOffloading, sharing
from morl.envs.mec.features import NUM_DERIVED
from morl.errors import UserError


@pytest.fixture(scope="module")
def seen():
    """Return observations of 64 systems after 40 random steps, with the exact outlook of each server."""
    env = MecOffloading(num_edges=(2, 4), max_edges=5)
    params = env.default_params

    def go(key):
        key_reset, *keys = jax.random.split(key, 41)
        state, obs = env.reset(key_reset, params)

        def one(carry, key):
            state, obs = carry
            action = jax.random.categorical(key, jnp.where(env.action_mask(obs) > 0, 0.0, -jnp.inf))
            state, obs, *_ = env.step(key, state, action, params)
            return (state, obs), None

        (state, obs), _ = jax.lax.scan(one, (state, obs), jnp.stack(keys))
        return obs, env.outlook(state, params)

    obs, outlook = jax.jit(jax.vmap(go))(jax.random.split(jax.random.key(0), 64))
    features = jax.jit(env.action_features)
    return features, np.asarray(obs), np.asarray(outlook), np.asarray(features(obs))


def test_the_increase_in_delay_and_the_energy_are_almost_the_rewards(seen):
    _, obs, outlook, features = seen
    there = (obs[..., 2] > 0) & (obs[..., 0] > 0)
    running = obs[..., 3][there]
    assert there.sum() > 100
    assert running.max() > 4
    error = np.abs(32.0 * features[..., 8][there] + outlook[..., 0][there])
    # half a bin of 1 Mbit for each running task, counted twice, at 1.75 Mbit/s or more
    assert (error <= 2 * 0.5 * running / 1.75 + 1e-3).all()
    assert np.corrcoef(32.0 * features[..., 8][there], -outlook[..., 0][there])[0, 1] > 0.999
    own = np.abs(16.0 * features[..., 7][there] + outlook[..., 2][there])
    assert (own <= 0.5 * running / 1.75 + 1e-3).all()
    # the simulator adds the small energy of the radio
    np.testing.assert_allclose(0.05 * features[..., 11][there], -outlook[..., 1][there], atol=0.02, rtol=0.02)


def test_servers_that_do_not_exist_and_steps_without_a_task(seen):
    features_of, obs, _, features = seen
    assert not features[obs[..., 2] < 0].any()
    idle = obs.copy()
    idle[..., :2] = np.where(obs[..., :2] >= 0, 0.0, obs[..., :2])
    calm = np.asarray(features_of(idle))
    assert np.isfinite(calm).all()
    assert not calm[..., [1, 2, 6, 11]].any()  # no size, rate, upload and energy
    assert features.shape[-1] == NUM_DERIVED + MecOffloading().bins


def test_marginals_tell_the_rewards_of_each_action_exactly_and_a_finite_episode_ends():
    env = MecOffloading(num_edges=3, max_edges=4, steps=12, bins=3, marginals=True, finite=True, channel="physical")
    params, step = env.default_params, jax.jit(env.step)
    rewards_of, features_of = jax.jit(env.action_rewards), jax.jit(env.action_features)
    state, obs = jax.jit(env.reset)(jax.random.key(0), params)
    placed = 0
    for t in range(env.steps):
        assert obs.shape == env.observation_space.shape
        expected, server = np.asarray(rewards_of(obs)), t % 4
        assert not expected[4].any()
        assert obs[0, -1] == env.steps - t
        assert obs[0, -2] == env.info(state, params)["queue_length"]
        work = np.asarray(features_of(obs))[:4, 10] * 32.0 * np.asarray(obs[:4, 2])
        np.testing.assert_allclose(work, sharing.residuals(state.servers).sum(axis=1)[:4], rtol=1e-5)
        state, obs, reward, terminated, truncated, _ = step(jax.random.key(t), state, jnp.int32(server), params)
        np.testing.assert_allclose(expected[server], reward, rtol=1e-4, atol=1e-6)
        placed += bool(reward.any())
        assert (terminated, truncated) == (t == env.steps - 1, False)
    assert placed > 6


def test_without_marginals_no_reward_is_told():
    env = MecOffloading()
    assert env.action_rewards is None
    assert env.observation_space.shape == (11, 65)
    with pytest.raises(UserError, match="marginals must be true or false, not 1"):
        MecOffloading(marginals=1)
