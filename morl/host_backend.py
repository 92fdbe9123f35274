"""Training and evaluation on environments that step in Python: all policies share one vector of environments.

Same interface as :class:`morl.jax_backend.JaxBackend`, and the same learners: only where transitions come from differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.from_gymnasium import HostEnvironment, HostVectorEnv
from morl.evaluation import MAX_STEPS, in_blocks, in_widths
from morl.types import Evaluation, Learner, Metrics, PyTree, Transition


class HostState(NamedTuple):
    """P learners.

    Attributes:
        learners: stacked learners.
        obs: (P * num_envs, ...) what the environments are at.
        keys: (P,) one key for each policy, folded with the count of its updates.
        preferences: (P, R), or (P, B, R) one for each environment.
        updates: updates done.
    """

    learners: PyTree
    obs: np.ndarray[Any, Any]
    keys: jax.Array
    preferences: np.ndarray[Any, Any]
    updates: int


class HostBackend:
    """Runs ``learner`` for the ``preferences`` (P, R) or (P, B, R) of all policies on P x num_envs host environments.

    ``width`` is 0 where each policy has its own preference; else policies take any.
    """

    def __init__(
        self,
        env: HostEnvironment,
        learner: Learner,
        preferences: np.ndarray[Any, Any],
        *,
        eval_episodes: int,
        gamma: float,
        width: int = 0,
        processes: int = 0,
    ) -> None:
        self.learner = learner
        self.num_policies = len(preferences)
        self._preferences = preferences.astype(np.float32)
        self._env, self._gamma, self._processes = env, gamma, processes
        self._eval_episodes, self._width = eval_episodes, width
        self._act = {greedy: jax.jit(jax.vmap(partial(self._act_one, greedy=greedy))) for greedy in (False, True)}
        self._update = jax.jit(jax.vmap(learner.update, in_axes=(0, 1, 0)), donate_argnums=0)
        self._policy = jax.jit(jax.vmap(learner.policy))

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: np.ndarray[Any, Any] | None = None,
    ) -> HostState:
        """Learners and environments at the start, see :class:`morl.types.Trainer`."""
        key_init, key_start, key_run = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=3))(jnp.stack(keys)), 1, 0)
        weights = self._preferences if preferences is None else preferences.astype(np.float32)
        if learners is None:
            learners = [self.learner.init(key, w) for key, w in zip(key_init, weights, strict=True)]
        obs = self._train_envs.reset(_seeds(key_start, self.learner.num_envs))
        return HostState(jax.tree.map(lambda *leaves: jnp.stack(leaves), *learners), obs, key_run, weights, 0)

    def run(self, state: HostState, updates: int) -> tuple[HostState, Metrics]:
        """``updates`` updates of every policy; metrics (P,) averaged over them. ``state`` must not be used again."""
        sums: Metrics = {}
        for _ in range(updates):
            keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.keys, state.updates)
            key_rollout, key_update = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
            batch, obs = self._rollout(self._policy(state.learners), state, key_rollout)
            learners, metrics = self._update(state.learners, batch, key_update)
            state = state._replace(learners=learners, obs=obs, updates=state.updates + 1)
            sums = {name: sums.get(name, 0.0) + value for name, value in metrics.items()}
        return state, {name: value / updates for name, value in sums.items()}

    def policies(self, state: HostState) -> PyTree:
        """The P policies, on the host."""
        return jax.tree.map(np.asarray, self._policy(state.learners))

    def evaluate(
        self, policies: PyTree, preferences: np.ndarray[Any, Any], keys: jax.Array, episodes: int
    ) -> Evaluation:
        """``episodes`` greedy episodes of N stacked policies, see :class:`morl.types.Trainer`.

        Always in blocks of P policies x ``eval_episodes`` episodes, on environments that training does not touch: one
        preference after another where policies take any, as environments on the host are dear.
        """

        def one_preference(policies: PyTree, weights: np.ndarray[Any, Any], keys: jax.Array) -> Evaluation:
            evaluation = self._evaluate_block(policies, weights[:, 0], keys)
            expanded: Evaluation = jax.tree.map(lambda x: x[:, None], evaluation)
            return expanded

        return in_blocks(
            in_widths(one_preference, 1) if self._width else self._evaluate_block,
            policies,
            preferences,
            keys,
            block=self.num_policies,
            episodes=episodes,
            each=self._eval_episodes,
        )

    def close(self) -> None:
        """Close the environments."""
        for name in ("_train_envs", "_eval_envs"):
            if name in self.__dict__:  # made when first used
                getattr(self, name).close()

    @cached_property
    def _train_envs(self) -> HostVectorEnv:
        return self._make_envs(self.num_policies * self.learner.num_envs)

    @cached_property
    def _eval_envs(self) -> HostVectorEnv:
        return self._make_envs(self.num_policies * self._eval_episodes)

    def _make_envs(self, num_envs: int) -> HostVectorEnv:
        return self._env.make_vector(num_envs, min(self._processes, num_envs))

    def _act_one(
        self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool
    ) -> tuple[jax.Array, jax.Array]:
        action = self.learner.act(policy, obs, preference, key, greedy=greedy)
        return action, self.learner.to_env(action)

    def _rollout(self, policies: PyTree, state: HostState, keys: jax.Array) -> tuple[Transition, np.ndarray[Any, Any]]:
        """One rollout of every policy, (T, P, B, ...), and the observations to go on from."""
        lanes = (self.num_policies, self.learner.num_envs)
        steps, flat_obs = [], state.obs
        step_keys = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=self.learner.rollout_steps))(keys), 1, 0)
        for key in step_keys:
            obs = flat_obs.reshape(*lanes, *flat_obs.shape[1:])
            action, env_action = self._act[False](policies, obs, state.preferences, key)
            out = self._train_envs.step(np.asarray(env_action).reshape(-1, *env_action.shape[2:]))
            flat_obs = out.obs
            parts = (out.reward, out.next_obs, out.terminated, out.truncated, out.valid)
            steps.append((obs, np.asarray(action), *(part.reshape(*lanes, *part.shape[1:]) for part in parts)))
        stacked: list[Any] = [np.stack(part) for part in zip(*steps, strict=True)]
        return Transition(*stacked), flat_obs

    def _evaluate_block(self, policies: PyTree, preferences: np.ndarray[Any, Any], keys: jax.Array) -> Evaluation:
        lanes = (self.num_policies, self._eval_episodes)
        obs = self._eval_envs.reset(_seeds(keys, self._eval_episodes))
        alive = np.ones(lanes, bool)
        discounted = np.zeros((*lanes, self._eval_envs.num_objectives))
        undiscounted, length = discounted.copy(), np.zeros(lanes, np.int32)
        for t in range(self._env.max_episode_steps or MAX_STEPS):
            step_obs = obs.reshape(*lanes, *obs.shape[1:])
            _, action = self._act[True](policies, step_obs, preferences, keys)
            out = self._eval_envs.step(np.asarray(action).reshape(-1, *action.shape[2:]))
            reward = np.where(alive[..., None], out.reward.reshape(discounted.shape), 0.0)
            discounted += self._gamma**t * reward
            undiscounted += reward
            length += alive
            alive &= ~(out.terminated | out.truncated).reshape(lanes)
            obs = out.obs
            if not alive.any():
                break
        sums: tuple[Any, ...] = (discounted, undiscounted, length)
        return Evaluation(*sums)


def _seeds(keys: jax.Array, each: int) -> list[int]:
    """Seeds for Gymnasium out of P keys, ``each`` a key: policies of the same key meet the same episodes."""
    first = np.asarray(jax.vmap(lambda key: jax.random.randint(key, (), 0, 2**31 - 1 - each))(keys))
    return [int(seed) + i for seed in first for i in range(each)]
