"""Environments of the registry have the same dtypes in every dtype mode of JAX, and those of users are converted."""

from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.envs import widths
from tests.envs.dtype_modes import MODES, dtype_mode
from tests.envs.extras import native_specs


def results(env):
    """Return the shapes and dtypes of an environment's params, state and results, and of its backward steps."""
    params, key = env.default_params, jax.random.key(0)
    action = np.asarray(env.action_space.sample())
    action = jax.ShapeDtypeStruct(action.shape, widths.narrow(action.dtype))
    first = jax.eval_shape(env.reset, key, params)
    traced = (jax.eval_shape(lambda x: x, params), first, jax.eval_shape(env.step, key, first[0], action, params))
    if hasattr(env, "backward_step"):
        back = jax.ShapeDtypeStruct((), np.int32)
        traced += (
            jax.eval_shape(env.action_mask, first[1]),
            jax.eval_shape(env.backward_mask, first[0]),
            jax.eval_shape(env.backward_step, first[0], back, params),
        )
    return {
        jax.tree_util.keystr(path): (x.shape, x.dtype)
        for path, x in jax.tree.leaves_with_path(traced)
        if not jax.tree_util.keystr(path).startswith("[2][5]")  # the info
    }


@pytest.mark.parametrize("spec", native_specs(), ids=lambda spec: spec.id)
def test_dtypes_are_the_same_in_every_mode(spec):
    plain = results(morl.make(spec.id, "jax"))
    assert all(np.dtype(dtype).itemsize <= 4 for _, dtype in plain.values() if not str(dtype).startswith("key"))
    with dtype_mode("x64-strict"):  # what fails in one of the two fails in both
        assert results(morl.make(spec.id, "jax")) == plain


class Drift(NamedTuple):
    position: jax.Array
    count: jax.Array


class Careless:
    """Environment of a user that states no dtype: with 64-bit types on, all that it draws is float64."""

    max_episode_steps = 5
    default_params = ()

    def __init__(self):
        ours = morl.make("deep-sea-treasure-v0", "jax")
        self.id, self.objectives, self.reference_point = "careless-v0", ours.objectives, ours.reference_point
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space, self.reward_space = ours.action_space, ours.reward_space

    def reset(self, key, params):
        start = Drift(jnp.zeros(2, jnp.float32), jnp.int32(0))
        return start, jax.random.normal(key, (2,))

    def step(self, key, state, action, params):
        position = state.position + jax.random.normal(key, (2,))
        after = Drift(position, state.count + jnp.arange(2)[1])
        return after, position, jnp.stack([position[0], -1.0]), position[0] > 9, jnp.bool_(False), {}


def test_those_of_a_user_are_converted():
    env, key = Careless(), jax.random.key(0)
    with dtype_mode("x64"):
        state, obs = widths.reset(env, key, ())
        assert env.reset(key, ())[1].dtype == np.float64
        after, *out = widths.step(env, key, state, jnp.int32(0), ())
        assert env.step(key, state, jnp.int32(0), ())[0].position.dtype == np.float64
        assert [x.dtype for x in (obs, *after, *out[:2])] == [np.float32, np.float32, np.int32, np.float32, np.float32]
        envs = morl.envs.gymnasium.to_gymnasium.GymnasiumVectorEnv(env, num_envs=2)
        envs.reset(seed=0)
        for _ in range(12):  # beyond an end, which resets
            obs, reward, *_ = envs.step(envs.action_space.sample())
        assert obs.dtype == reward.dtype == np.float32


def test_another_kind_of_number_is_left():
    class Cutting(Careless):
        def step(self, key, state, action, params):
            after, *out = super().step(key, state, action, params)
            return after._replace(count=after.position[0]), *out

    state, _ = widths.reset(Cutting(), jax.random.key(0), ())
    after, *_ = widths.step(Cutting(), jax.random.key(0), state, jnp.int32(0), ())
    assert after.count.dtype == np.float32  # JAX says so where a loop carries it


@pytest.mark.parametrize("mode", MODES)
def test_vector_environments_step(mode):
    with dtype_mode(mode):
        envs = gymnasium.make_vec("morl/minecart-v0", num_envs=2)
        envs.reset(seed=0)
        envs.action_space.seed(0)
        for _ in range(3):
            obs, reward, *_ = envs.step(envs.action_space.sample())
        assert obs.dtype == reward.dtype == np.float32
