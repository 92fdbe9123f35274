"""Training and evaluation on environments that step in Python: all policies share one vector of environments.

Same interface as :class:`morl.training.backends.jax.JaxBackend`, and the same learners: only where transitions come
from differs. Updates are split over devices as there, while environments wait for them; policies act on the first
device.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from morl.envs.gymnasium.from_gymnasium import HostEnvironment, HostStep, HostVectorEnv
from morl.training.backends.sharding import Placement
from morl.training.evaluation import MAX_STEPS, in_blocks, in_widths
from morl.training.nonfinite import Faults, guarded_update, none
from morl.types import Evaluation, Learner, PyTree, Sums, Transition

RESTART = 2**32 - 1  # folded into a key where updates are counted from 0 on: the stream of starts after an interruption
RESTARTS = 2  # of a worker process; a third failure ends the training


class HostState(NamedTuple):
    """P learners.

    Attributes:
        learners: stacked learners, P rounded up to a multiple of the number of devices by spare copies.
        obs: (P * num_envs, ...) what the environments are at.
        keys: (P,) one key for each policy, folded with the count of its updates.
        preferences: (P, R), or (P, B, R) one for each environment.
        updates: updates done.
        faults: what went wrong with each of the learners.
        begun: steps of the rollout that comes next, transitions of arrays (P, num_envs, ...) each.
    """

    learners: PyTree
    obs: np.ndarray[Any, Any]
    keys: jax.Array
    preferences: np.ndarray[Any, Any]
    updates: int
    faults: Faults
    begun: tuple[Transition, ...] = ()


class HostBackend:
    """Runs ``learner`` for the ``preferences`` (P, R) or (P, B, R) of all policies on P x num_envs host environments.

    ``width`` is 0 where each policy has its own preference; else policies take any. ``ahead`` steps of the rollout that
    comes next are taken after an update already, by the same policies as without.
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
        devices: Sequence[jax.Device] | None = None,
        skip_faults: bool = False,
        ahead: int = 0,
    ) -> None:
        self.learner = learner
        self.num_policies = len(preferences)
        self._place = Placement(self.num_policies, devices)
        self._preferences = preferences.astype(np.float32)
        self._env, self._gamma, self._processes = env, gamma, processes
        self._eval_episodes, self._width, self._ahead = eval_episodes, width, ahead
        self._stopped = False
        self._act = {greedy: jax.jit(jax.vmap(partial(self._act_one, greedy=greedy))) for greedy in (False, True)}
        update = partial(guarded_update, learner, skip=skip_faults)
        split, whole = PartitionSpec("policies"), PartitionSpec()
        updates = jax.shard_map(
            jax.vmap(update, in_axes=(0, 1, 0, 0, None)),
            mesh=self._place.mesh,
            in_specs=(split, PartitionSpec(None, "policies"), split, split, whole),
            out_specs=split,
            check_vma=False,
        )
        self._update = jax.jit(updates, donate_argnums=0)
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
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *learners)
        return HostState(self._place.placed(stacked), obs, key_run, weights, 0, self._place.placed(none(len(keys))))

    def run(self, state: HostState, updates: int, sums: Sums | None = None) -> tuple[HostState, Sums]:
        """``updates`` updates of every policy, see :class:`morl.types.Trainer`."""
        for _ in range(updates):
            key_rollout, key_update = self._update_keys(state)
            state = self._collected(state, key_rollout, self.learner.rollout_steps)
            batch = jax.tree.map(lambda *steps: np.stack(steps), *state.begun)
            if spare := self._place.spare:
                batch = jax.tree.map(lambda x: np.concatenate([x, x[:, :spare]], axis=1), batch)
            learners, metrics, faults, counts, _ = self._update(
                state.learners, batch, self._place.placed(key_update), state.faults, state.updates
            )
            state = state._replace(learners=learners, updates=state.updates + 1, faults=faults, begun=())
            if self._ahead:
                state = self._collected(state, self._update_keys(state)[0], self._ahead)
            one = self._place.own(Sums(counts.astype(jnp.float32), metrics))
            sums = one if sums is None else jax.tree.map(np.add, sums, one)
        return state, jax.tree.map(np.asarray, sums)

    def saved(self, state: HostState) -> PyTree:
        """All but the environments, which cannot be saved."""
        learners, faults = self._place.own((state.learners, state.faults))
        data = state._replace(
            learners=learners, faults=faults, obs=np.zeros(0), keys=jax.random.key_data(state.keys), begun=()
        )
        return jax.tree.map(np.asarray, data)

    def restored(self, fresh: HostState, saved: HostState) -> HostState:
        """What was saved, on environments at the start of other episodes."""
        keys = jax.random.wrap_key_data(jnp.asarray(saved.keys), impl=jax.random.key_impl(fresh.keys))
        updates = int(saved.updates)
        starts = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, RESTART), updates))(keys)
        obs = self._train_envs.reset(_seeds(starts, self.learner.num_envs))
        learners = jax.vmap(self.learner.restarted)(jax.tree.map(jnp.asarray, saved.learners))
        learners, faults = self._place.placed((learners, jax.tree.map(jnp.asarray, saved.faults)))
        return HostState(learners, obs, keys, saved.preferences, updates, faults)

    def policies(self, state: HostState) -> PyTree:
        """The P policies, on the host."""
        return self._place.own(self._policy(state.learners))

    def faults(self, state: HostState) -> Faults:
        """What went wrong, see :class:`morl.types.Trainer`."""
        found: Faults = self._place.own(state.faults)
        return found

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

    def incidents(self) -> list[str]:
        """What happened to worker processes."""
        return [text for envs in self._made() for text in envs.incidents()]

    def stop(self) -> None:
        """Have what another thread is running here end by its next step, with :class:`CancelledError`; for good."""
        self._stopped = True

    def close(self) -> None:
        """Close the environments."""
        for envs in self._made():
            envs.close()

    def _made(self) -> list[HostVectorEnv]:
        """The environments there are; they are made when first used."""
        return [self.__dict__[name] for name in ("_train_envs", "_eval_envs") if name in self.__dict__]

    @cached_property
    def _train_envs(self) -> HostVectorEnv:
        return self._make_envs(self.num_policies * self.learner.num_envs)

    @cached_property
    def _eval_envs(self) -> HostVectorEnv:
        return self._make_envs(self.num_policies * self._eval_episodes)

    def _make_envs(self, num_envs: int) -> HostVectorEnv:
        return self._env.make_vector(num_envs, min(self._processes, num_envs), RESTARTS, finite=False)

    def _act_one(
        self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool
    ) -> tuple[jax.Array, jax.Array]:
        action = self.learner.act(policy, obs, preference, key, greedy=greedy)
        return action, self.learner.to_env(action)

    def _update_keys(self, state: HostState) -> jax.Array:
        """(2, P) keys, of the rollout and of the update that come next."""
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.keys, state.updates)
        return jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)

    def _collected(self, state: HostState, keys: jax.Array, steps: int) -> HostState:
        """After every policy's environments have been stepped until ``steps`` of these keys' rollout are there."""
        lanes = (self.num_policies, self.learner.num_envs)
        policies = jax.device_put(self.policies(state), self._place.mesh.devices[0])
        step_keys = jax.vmap(partial(jax.random.split, num=self.learner.rollout_steps))(keys)
        begun, flat_obs = list(state.begun), state.obs
        for key in jnp.moveaxis(step_keys, 1, 0)[len(begun) : steps]:
            obs = flat_obs.reshape(*lanes, *flat_obs.shape[1:])
            action, env_action = self._act[False](policies, obs, state.preferences, key)
            out = self._stepped(self._train_envs, env_action)
            flat_obs = out.obs
            parts = (out.reward, out.next_obs, out.terminated, out.truncated, out.valid)
            fields: list[Any] = [obs, np.asarray(action), *(part.reshape(*lanes, *part.shape[1:]) for part in parts)]
            begun.append(Transition(*fields))
        return state._replace(obs=flat_obs, begun=tuple(begun))

    def _stepped(self, envs: HostVectorEnv, action: jax.Array) -> HostStep:
        """One step of all lanes, (P, B, ...) actions."""
        if self._stopped:
            raise CancelledError
        return envs.step(np.asarray(action).reshape(-1, *action.shape[2:]))

    def _evaluate_block(self, policies: PyTree, preferences: np.ndarray[Any, Any], keys: jax.Array) -> Evaluation:
        evaluation = None
        while evaluation is None:  # again, the same episodes, where a worker was lost: its returns would be cut short
            evaluation = self._evaluated(policies, preferences, keys)
        return evaluation

    def _evaluated(self, policies: PyTree, preferences: np.ndarray[Any, Any], keys: jax.Array) -> Evaluation | None:
        """None where a step was lost."""
        lanes = (self.num_policies, self._eval_episodes)
        policies = jax.device_put(policies, self._place.mesh.devices[0])
        obs = self._eval_envs.reset(_seeds(keys, self._eval_episodes), once=True)
        alive = np.ones(lanes, bool)
        discounted = np.zeros((*lanes, self._eval_envs.num_objectives))
        undiscounted, length = discounted.copy(), np.zeros(lanes, np.int32)
        for t in range(self._env.max_episode_steps or MAX_STEPS):
            step_obs = obs.reshape(*lanes, *obs.shape[1:])
            _, action = self._act[True](policies, step_obs, preferences, keys)
            out = self._stepped(self._eval_envs, action)
            if out.lost.any():
                return None
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
