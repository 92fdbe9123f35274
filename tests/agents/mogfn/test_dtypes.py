"""Trajectories back from stored objects have the same dtypes in every dtype mode of JAX."""

import jax
import jax.numpy as jnp

import morl
from morl.agents.mogfn.trajectories import Finished, backward
from tests.envs.dtype_modes import dtype_mode


def test_the_way_back_draws_indices_of_32_bits():
    env = morl.make("hypergrid-v0", "jax")

    def drawn(key):
        state, obs = jax.vmap(env.reset, (0, None))(jax.random.split(key, 3), env.default_params)
        end = Finished(state, obs, jnp.zeros((3, 2), jnp.float32))
        return backward(env, env.default_params, end, key)

    plain = jax.eval_shape(drawn, jax.random.key(0))
    with dtype_mode("x64-strict"):
        assert jax.eval_shape(drawn, jax.random.key(0)) == plain
