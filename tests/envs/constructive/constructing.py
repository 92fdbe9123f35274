"""Helpers that walk over constructive tasks, for their tests."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0)  # their steps draw nothing


@cache
def compiled(env, name):
    return jax.jit(getattr(env, name))


def follow(env, actions):
    """Return (state, obs, reward, terminated) after each action, from the start."""
    params = env.default_params
    state, _ = env.reset(KEY, params)
    step = compiled(env, "step")
    seen = []
    for action in actions:
        state, obs, reward, terminated, _, _ = step(KEY, state, jnp.int32(action), params)
        seen.append((state, obs, reward, terminated))
    return seen


def random_walk(env, seed):
    """Take random allowed actions until the object is finished; return them and all states, the start included."""
    rng, params = np.random.default_rng(seed), env.default_params
    state, obs = env.reset(KEY, params)
    states, actions, terminated = [state], [], False
    step = compiled(env, "step")
    while not terminated:
        actions.append(int(rng.choice(np.flatnonzero(np.asarray(env.action_mask(obs))))))
        state, obs, _, terminated, _, _ = step(KEY, state, jnp.int32(actions[-1]), params)
        states.append(state)
    return states, actions


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True))


def check_backward_steps(env, seed):
    """Check that every parent of each state leads back to it, the walk's own included, and finished states stay."""
    states, actions = random_walk(env, seed)
    params = env.default_params
    step, back, mask = (compiled(env, name) for name in ("step", "backward_step", "backward_mask"))
    assert len(actions) <= env.horizon
    assert not np.asarray(mask(states[0])).any()
    for k in range(env.num_backward_actions):
        assert same(back(states[0], jnp.int32(k), params)[0], states[0])
    for before, action, state in zip(states[:-1], actions, states[1:], strict=True):
        parents = []
        for k in np.flatnonzero(np.asarray(mask(state))):
            parent, obs, forward = back(state, jnp.int32(k), params)
            assert np.asarray(env.action_mask(obs))[forward] == 1
            assert same(step(KEY, parent, forward, params)[0], state)
            parents.append((parent, int(forward)))
        assert any(same(parent, before) and forward == action for parent, forward in parents)
    for action in range(env.action_space.n):
        stayed, _, reward, terminated, _, _ = step(KEY, states[-1], jnp.int32(action), params)
        assert same(stayed, states[-1])
        assert terminated
        assert not np.asarray(reward).any()
