"""Features of each server, compared with the exact values of the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.mec import MecOffloading
from morl.envs.mec.features import NUM_DERIVED


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
