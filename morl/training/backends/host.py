"""Training and evaluation on environments that step in Python: all policies share one vector of environments.

Same interface as :class:`morl.training.backends.jax.JaxBackend`, and the same learners: only where transitions come
from differs. Updates are split over devices as there, while environments wait for them; policies act on the first
device.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from numpy.typing import NDArray

from morl.envs.gymnasium.from_gymnasium import HostEnvironment
from morl.envs.gymnasium.host_vector import HostStep, HostVectorEnv
from morl.spaces import Observations
from morl.training.backends.host_pools import HostPools
from morl.training.backends.interruptible import Compiled
from morl.training.backends.sharding import Sharding
from morl.training.evaluation import MAX_STEPS, in_blocks, in_widths
from morl.training.nonfinite import NonFinite, guarded_update, no_nonfinite, reset_episode_state
from morl.training.rollout import DrawPreference
from morl.types import Evaluation, Learner, LearnerState, MetricSums, PyTree, Transition

RESTART = 2**32 - 1  # folded into a key where updates are counted from 0 on: the stream of starts after an interruption


class HostState(NamedTuple):
    """P learners.

    Attributes:
        learners: stacked learners, P rounded up to a multiple of the number of devices by spare copies.
        obs: (P * num_envs, ...) observations to act on next.
        keys: (P,) one key for each policy, folded with the count of its updates.
        preferences: (P, R), or (P, B, R) one for each environment.
        updates: updates done.
        nonfinite: (P,) non-finite updates.
        started: steps of the next rollout taken already, transitions of arrays (P, num_envs, ...) each.
    """

    learners: LearnerState
    obs: NDArray[Any]
    keys: jax.Array
    preferences: NDArray[Any]
    updates: int
    nonfinite: NonFinite
    started: tuple[Transition, ...] = ()


class HostBackend:
    """Trainer of ``learner`` for the ``preferences`` (P, R) or (P, B, R) of all policies on P x num_envs environments.

    Args:
        env: host environment.
        learner: shared by all policies.
        preferences: (P, R) or (P, B, R).
        eval_episodes: episodes of each policy in one block of an evaluation.
        gamma: discount of the returns that evaluations report.
        width: 0 where each policy has its own preference; else policies are conditional.
        seeds: number of seeds that the P policies belong to.
        processes: worker processes that step the environments; 0 steps them in this process.
        threads: of each process, that step them; None for the default of :meth:`.HostEnvironment.make_vector`.
        max_envs: environments that may be alive at once (:class:`.HostPools`); None for twice those of training.
        trains: whether policies are trained and not only evaluated.
        devices: to split updates over; by default all.
        skip_nonfinite: a policy goes on after an update that is not finite; else it is stopped.
        draw_preference: draws a preference (R,) for each episode from a key, instead of ``preferences``.
        ahead: steps of the next rollout that are taken right after an update, by the same policies as without.
        observations: turns observations into what agents see; by default they are as the environment gives them.
    """

    def __init__(
        self,
        env: HostEnvironment,
        learner: Learner,
        preferences: NDArray[Any],
        *,
        eval_episodes: int,
        gamma: float,
        width: int = 0,
        seeds: int = 1,
        processes: int = 0,
        threads: int | None = None,
        max_envs: int | None = None,
        trains: bool = True,
        devices: Sequence[jax.Device] | None = None,
        skip_nonfinite: bool = False,
        draw_preference: DrawPreference | None = None,
        ahead: int = 0,
        observations: Observations | None = None,
    ) -> None:
        self.num_policies = len(preferences)
        self._sharding = Sharding(self.num_policies, devices, learner)
        self._preferences = preferences.astype(np.float32)
        self._env, self._gamma = env, gamma
        self._eval_episodes, self._width, self._seeds, self._ahead = eval_episodes, width, seeds, ahead
        self._skip_nonfinite, self._observations = skip_nonfinite, observations
        self._draw = None if draw_preference is None else jax.jit(jax.vmap(jax.vmap(draw_preference)))
        training = self.num_policies, learner.num_envs
        self._pools = HostPools(
            env, processes, training, eval_episodes, max_envs, trains, observations, threads=threads
        )
        self._stopped = threading.Event()
        self._compile_updates_of(learner)

    def _compile_updates_of(self, learner: Learner) -> None:
        self.learner = learner
        self._act = {greedy: jax.jit(jax.vmap(partial(self._act_one, greedy=greedy))) for greedy in (False, True)}
        update = partial(guarded_update, self._sharding.updating(learner), skip=self._skip_nonfinite)
        split, whole = PartitionSpec("policies"), PartitionSpec()
        updates = jax.shard_map(
            jax.vmap(update, in_axes=(0, 1, 0, 0, None)),
            mesh=self._sharding.mesh,
            in_specs=(split, PartitionSpec(None, "policies"), split, split, whole),
            out_specs=split,
            check_vma=False,
        )
        self._update = Compiled(updates, donate_argnums=0)
        self._policy = jax.jit(jax.vmap(learner.policy))

    def for_learner(self, learner: Learner) -> HostBackend:
        """Return a trainer of another learner on the same environments, see :class:`morl.types.Trainer`."""
        other = copy.copy(self)
        other._compile_updates_of(learner)
        return other

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> HostState:
        """Return learners and environments at the start, see :class:`morl.types.Trainer`."""
        key_init, key_start, key_run = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=3))(jnp.stack(keys)), 1, 0)
        weights = self._preferences if preferences is None else preferences.astype(np.float32)
        if self._draw is not None:
            weights = np.asarray(self._draw(self._env_keys(key_start, 1)))
        if learners is None:
            learners = [self.learner.init(key) for key in key_init]
        obs = self._begun(key_start)
        stacked = self._sharding.shard(jax.tree.map(lambda *leaves: jnp.stack(leaves), *learners))
        return HostState(stacked, obs, key_run, weights, 0, self._sharding.shard(no_nonfinite(len(keys))))

    def with_preferences(self, state: HostState, preferences: NDArray[Any]) -> HostState:
        """Return the state with other preferences, see :class:`morl.types.Trainer`."""
        return state._replace(preferences=preferences.astype(np.float32))

    def with_step_factors(self, state: HostState, factors: NDArray[np.float32]) -> HostState:
        """Return the state with other factors (P,) of the learners' steps, see :class:`morl.types.Guide`."""
        learner: Any = self.learner
        return state._replace(learners=learner.with_step_factor(state.learners, self._sharding.shard(factors)))

    def run(self, state: HostState, updates: int, sums: MetricSums | None = None) -> tuple[HostState, MetricSums]:
        """Run ``updates`` updates of every policy, see :class:`morl.types.Trainer`."""
        state = self._uncut(state)
        for _ in range(updates):
            key_rollout, key_update = self._update_keys(state)
            state = self._collected(state, key_rollout, self.learner.rollout_steps)
            batch = jax.tree.map(lambda *steps: np.stack(steps), *state.started)
            if spare := self._sharding.spare:
                batch = jax.tree.map(lambda x: np.concatenate([x, x[:, :spare]], axis=1), batch)
            learners, metrics, nonfinite, counts, _ = self._update(
                state.learners, batch, self._sharding.shard(key_update), state.nonfinite, state.updates
            )
            state = state._replace(learners=learners, updates=state.updates + 1, nonfinite=nonfinite, started=())
            if self._ahead:
                state = self._collected(state, self._update_keys(state)[0], self._ahead)
            one = self._sharding.to_host(MetricSums(counts.astype(jnp.float32), metrics))
            sums = one if sums is None else jax.tree.map(np.add, sums, one)
        return state, jax.tree.map(np.asarray, sums)

    def steps(self, updates: int) -> int:
        """Return the environment steps of one seed after ``updates`` updates."""
        return updates * self.num_policies // self._seeds * self.learner.num_envs * self.learner.rollout_steps

    def saved(self, state: HostState) -> PyTree:
        """Convert all but the environments, which cannot be saved, to NumPy arrays."""
        learners, nonfinite = self._sharding.to_host((state.learners, state.nonfinite))
        data = state._replace(
            learners=learners, nonfinite=nonfinite, obs=np.zeros(0), keys=jax.random.key_data(state.keys), started=()
        )
        return jax.tree.map(np.asarray, data)

    def restored(self, fresh: HostState, saved: HostState) -> HostState:
        """Return what was saved, on environments at the start of other episodes."""
        keys = jax.random.wrap_key_data(jnp.asarray(saved.keys), impl=jax.random.key_impl(fresh.keys))
        updates = int(saved.updates)
        obs = self._begun(_restart_keys(keys, updates))
        learners = reset_episode_state(jax.tree.map(jnp.asarray, saved.learners))
        learners, nonfinite = self._sharding.shard((learners, jax.tree.map(jnp.asarray, saved.nonfinite)))
        return HostState(learners, obs, keys, saved.preferences, updates, nonfinite)

    def policies(self, state: HostState) -> PyTree:
        """Return the P policies, on the host."""
        return self._sharding.to_host(self._policy(state.learners))

    def nonfinite(self, state: HostState) -> NonFinite:
        """Return the non-finite updates, see :class:`morl.types.Trainer`."""
        found: NonFinite = self._sharding.to_host(state.nonfinite)
        return found

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """Run ``episodes`` greedy episodes of N stacked policies, see :class:`morl.types.Trainer`.

        Always in blocks of P policies x ``eval_episodes`` episodes, which run in waves where there are fewer
        environments: one preference after another where policies take any, as environments on the host are dear.
        """

        def one_preference(policies: PyTree, weights: NDArray[Any], keys: jax.Array) -> Evaluation:
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
        """Return messages about worker processes."""
        return self._pools.incidents()

    def stop(self) -> None:
        """End what another thread is running here by its next step, with :class:`CancelledError`; for good."""
        self._stopped.set()

    def close(self) -> None:
        """Close the environments."""
        self._pools.close()

    def _begun(self, keys: jax.Array) -> NDArray[Any]:
        """Start episodes of P keys in the environments of training; return observations to act on."""
        self._pools.cut = False
        return self._pools.training.reset(_seeds(keys, self.learner.num_envs))

    def _uncut(self, state: HostState) -> HostState:
        """Return the state on environments in an episode; new ones where an evaluation has borrowed them.

        The steps before are those of truncated episodes: an update bootstraps from the end of its rollout in any case.
        """
        if not self._pools.cut:
            return state
        started = state.started
        if started:
            last: Any = ~np.asarray(started[-1].terminated)
            started = *started[:-1], started[-1]._replace(truncated=last)
        starts, preferences = _restart_keys(state.keys, state.updates), state.preferences
        if self._draw is not None:
            preferences = np.asarray(self._draw(self._env_keys(starts, 1)))
        learners = jax.device_put(reset_episode_state(state.learners), self._sharding.sharding)
        obs = self._begun(starts)
        return state._replace(learners=learners, obs=obs, preferences=preferences, started=started)

    def _act_one(
        self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool
    ) -> tuple[jax.Array, jax.Array]:
        action = self.learner.act(policy, obs, preference, key, greedy=greedy)
        return action, self.learner.to_env(action)

    def _update_keys(self, state: HostState) -> jax.Array:
        """Return (2, P) keys, of the rollout and of the update that come next."""
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.keys, state.updates)
        return jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)

    def _env_keys(self, keys: jax.Array, data: int) -> jax.Array:
        """Return (P, B) keys, one for each environment, of P keys folded with a number."""
        folded = jax.vmap(jax.random.fold_in, (0, None))(keys, data)
        return jax.vmap(partial(jax.random.split, num=self.learner.num_envs))(folded)

    def _collected(self, state: HostState, keys: jax.Array, steps: int) -> HostState:
        """Step every policy's environments until ``steps`` steps of the rollout of these keys are there."""
        shape = (self.num_policies, self.learner.num_envs)
        policies = jax.device_put(self.policies(state), self._sharding.mesh.devices.flat[0])
        step_keys = jax.vmap(partial(jax.random.split, num=self.learner.rollout_steps))(keys)
        started, flat_obs, preferences = list(state.started), state.obs, state.preferences
        for key in jnp.moveaxis(step_keys, 1, 0)[len(started) : steps]:
            obs = flat_obs.reshape(*shape, *flat_obs.shape[1:])
            action, env_action = self._act[False](policies, obs, preferences, key)
            out = self._stepped(self._pools.training, env_action)
            flat_obs = out.obs
            parts = (out.reward, out.next_obs, out.terminated, out.truncated, out.valid)
            shaped: list[Any] = [x.reshape(*shape, *x.shape[1:]) for x in parts]
            reward, next_obs, terminated, truncated, valid = shaped
            each = preferences if preferences.ndim == 3 else preferences[:, None]
            acted_for = np.broadcast_to(each, reward.shape)
            fields: list[Any] = [obs, np.asarray(action), reward, next_obs, terminated, truncated, valid, acted_for]
            started.append(Transition(*fields))
            if self._draw is not None and (done := terminated | truncated).any():
                preferences = np.where(done[..., None], self._draw(self._env_keys(key, 2)), preferences)
        return state._replace(obs=flat_obs, preferences=preferences, started=tuple(started))

    def _stepped(self, envs: HostVectorEnv, action: jax.Array) -> HostStep:
        """Step all environments with actions (P, B, ...)."""
        if self._stopped.is_set():
            raise CancelledError
        return envs.step(np.asarray(action).reshape(-1, *action.shape[2:]))

    def _evaluate_block(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array) -> Evaluation:
        evaluation = None
        while evaluation is None:  # again, the same episodes, where a worker was lost: its returns would be cut short
            evaluation = self._evaluated(policies, preferences, keys)
        return evaluation

    def _evaluated(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array) -> Evaluation | None:
        """Run one block of episodes in waves of as many as there are environments; None if a step was lost.

        A wave has the same shape as any other, filled up by environments that rest; which episode runs in which does
        not change it.
        """
        (group, wave), number = self._pools.evaluation_shape, self.num_policies
        seeds = np.reshape(_seeds(keys, self._eval_episodes), (number, self._eval_episodes))
        rows = []
        for begin in range(0, number, group):
            who = np.arange(begin, begin + group)
            mine = np.minimum(who, number - 1)
            chosen = jax.device_put(
                jax.tree.map(lambda x, mine=mine: np.asarray(x)[mine], policies), self._sharding.mesh.devices.flat[0]
            )
            waves = []
            for first in range(0, self._eval_episodes, wave):
                which = np.arange(first, first + wave)
                counted = (who < number)[:, None] & (which < self._eval_episodes)[None]
                starts = seeds[mine][:, np.minimum(which, self._eval_episodes - 1)]
                sums = self._wave(chosen, preferences[mine], keys[mine], starts, counted)
                if sums is None:
                    return None
                waves.append(sums)
            rows.append(jax.tree.map(lambda *x: np.concatenate(x, axis=1)[:, : self._eval_episodes], *waves))
        evaluation: Evaluation = jax.tree.map(lambda *x: np.concatenate(x)[:number], *rows)
        return evaluation

    def _wave(
        self,
        policies: PyTree,
        preferences: NDArray[Any],
        keys: jax.Array,
        seeds: NDArray[np.int64],
        counted: NDArray[np.bool_],
    ) -> Evaluation | None:
        """Run one episode in each environment, seeds (G, W) of G policies; None if a step was lost.

        Those that are not ``counted`` (G, W) are not stepped.
        """
        shape = seeds.shape
        envs = self._pools.evaluation
        self._pools.cut = self._pools.shared
        obs = envs.reset(seeds.ravel().tolist(), once=counted.ravel())
        alive = counted.copy()
        discounted = np.zeros((*shape, envs.num_objectives))
        undiscounted, length, terminated = discounted.copy(), np.zeros(shape, np.int32), np.zeros(shape, bool)
        for t in range(self._env.max_episode_steps or MAX_STEPS):
            step_obs = obs.reshape(*shape, *obs.shape[1:])
            _, action = self._act[True](policies, step_obs, preferences, keys)
            out = self._stepped(envs, action)
            if out.lost.any():
                return None
            reward = np.where(alive[..., None], out.reward.reshape(discounted.shape), 0.0)
            discounted += self._gamma**t * reward
            undiscounted += reward
            length += alive
            terminated |= alive & out.terminated.reshape(shape)
            alive &= ~(out.terminated | out.truncated).reshape(shape)
            obs = out.obs
            if not alive.any():
                break
        sums: tuple[Any, ...] = (discounted, undiscounted, length, None, terminated)
        return Evaluation(*sums)


def _restart_keys(keys: jax.Array, updates: int) -> jax.Array:
    """Return keys of the starts after so many updates, of P keys; no other start has seen them."""
    return jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, RESTART), updates))(keys)


def _seeds(keys: jax.Array, each: int) -> list[int]:
    """Return seeds for Gymnasium, ``each`` of P keys: policies of the same key meet the same episodes."""
    first = np.asarray(jax.vmap(lambda key: jax.random.randint(key, (), 0, 2**31 - 1 - each, dtype=jnp.int32))(keys))
    return [int(seed) + i for seed in first for i in range(each)]
