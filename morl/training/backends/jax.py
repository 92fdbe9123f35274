"""Training and evaluation on JAX environments: rollout and update of all policies in one compiled call.

The policies are the leading axis of every array. With several devices (two virtual ones on a two-core CPU, say) that
axis is split over them; policies do not talk to each other, so no result depends on the split.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from numpy.typing import NDArray

from morl.envs.overflow import check_overflow
from morl.training.backends.devices import quick_to_compile
from morl.training.backends.interruptible import Compiled
from morl.training.backends.recording import Recorder
from morl.training.backends.sharding import Sharding
from morl.training.evaluation import evaluate, in_blocks, in_widths
from morl.training.nonfinite import NonFinite, choose, guarded_update, no_nonfinite, reset_episode_state
from morl.training.rollout import AnyEnv, DrawPreference, EnvRunnerState, rollout, start_batch
from morl.types import Evaluation, Learner, LearnerState, Metrics, MetricSums, PyTree


class JaxState(NamedTuple):
    """P learners with their environments; P is rounded up to a multiple of the number of devices by spare copies.

    Attributes:
        learners: stacked learners.
        runners: (P, B) running environments.
        keys: (P,) one key for each policy, folded with the count of its updates.
        preferences: (P, R), or (P, B, R) one for each environment.
        updates: () int32, updates done.
        nonfinite: (P,) non-finite updates.
    """

    learners: LearnerState
    runners: EnvRunnerState
    keys: jax.Array
    preferences: jax.Array
    updates: jax.Array
    nonfinite: NonFinite


class JaxBackend:
    """Trainer of ``learner`` for the ``preferences`` (P, R) or (P, B, R) of all policies on a JAX environment.

    Args:
        env: environment of pure functions.
        learner: shared by all policies.
        preferences: (P, R) or (P, B, R).
        eval_episodes: episodes of one compiled evaluation.
        gamma: discount of the returns that evaluations report.
        width: preferences that conditional policies are evaluated for at a time; 0 where each policy has its own.
        seeds: number of seeds that the P policies belong to.
        devices: to split the policies over; by default all.
        skip_nonfinite: a policy goes on after an update that is not finite; else it is stopped.
        draw_preference: draws a preference (R,) for each episode from a key, instead of ``preferences``.
    """

    def __init__(
        self,
        env: AnyEnv,
        learner: Learner,
        preferences: NDArray[Any],
        *,
        eval_episodes: int,
        gamma: float,
        width: int = 0,
        seeds: int = 1,
        devices: Sequence[jax.Device] | None = None,
        skip_nonfinite: bool = False,
        draw_preference: DrawPreference | None = None,
    ) -> None:
        self.num_policies = len(preferences)
        self._sharding = Sharding(self.num_policies, devices, learner)
        self._preferences = self._filled(preferences)
        self._env, self._params = env, env.default_params
        self._eval_episodes, self._width, self._seeds, self._gamma = eval_episodes, width, seeds, gamma
        self._skip_nonfinite, self._draw_preference = skip_nonfinite, draw_preference
        self._split, self._whole = PartitionSpec("policies"), PartitionSpec()
        self._shard_map = partial(jax.shard_map, mesh=self._sharding.mesh, check_vma=False)
        self._jit = partial(Compiled, compiler_options=quick_to_compile(self._sharding.mesh.devices.flat[0].platform))
        self._start = self._jit(jax.vmap(partial(start_batch, env, self._params, num_envs=learner.num_envs)))
        run_evaluation = partial(
            evaluate, env, self._params, learner, episodes=eval_episodes, gamma=gamma, conditional=bool(width)
        )
        split = self._split
        self._evaluate = self._jit(self._shard_map(run_evaluation, in_specs=(split, split, split), out_specs=split))
        self._compile_updates_of(learner)

    def _compile_updates_of(self, learner: Learner) -> None:
        self.learner, self._updating = learner, self._sharding.updating(learner)
        self._metrics: Metrics | None = None  # their shapes
        self._update = jax.jit(self._update_once, inline=True)  # traced once, for these shapes and for the loop
        split, whole = self._split, self._whole
        self._metrics_of = self._shard_map(self._metrics_shard, in_specs=split, out_specs=split)
        run = self._shard_map(self._run_shard, in_specs=(split, whole, split), out_specs=(split, split))
        self._run = self._jit(run, donate_argnums=0)

    def for_learner(self, learner: Learner) -> JaxBackend:
        """Return a trainer of another learner, see :class:`morl.types.Trainer`; evaluations are compiled once."""
        other = copy.copy(self)
        other._compile_updates_of(learner)
        return other

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> JaxState:
        """Return learners and environments at the start, see :class:`morl.types.Trainer`."""
        # spare copies share the key of the policy they copy: they fill a device, nobody reads them
        stacked_keys = jnp.stack([*keys, *keys[: self._sharding.spare]])
        key_init, key_start, key_run = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=3))(stacked_keys), 1, 0)
        weights = self._preferences if preferences is None else self._filled(preferences)
        if learners is None:
            learners = [self.learner.init(key) for key in key_init]
        else:
            learners = [*learners, *learners[: self._sharding.spare]]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *learners)
        state = JaxState(
            learners=stacked,
            runners=self._start(key_start),
            keys=key_run,
            preferences=self._first_preferences(jnp.asarray(weights), key_start),
            updates=jnp.zeros(len(key_run), jnp.int32),
            nonfinite=no_nonfinite(len(key_run)),
        )
        sharded: JaxState = jax.device_put(state, self._sharding.sharding)
        return sharded

    def _filled(self, preferences: NDArray[Any]) -> NDArray[np.float32]:
        """Append the preferences of the spare copies."""
        return np.concatenate([preferences, preferences[: self._sharding.spare]]).astype(np.float32)

    def _first_preferences(self, preferences: jax.Array, keys: jax.Array) -> jax.Array:
        if self._draw_preference is None:
            return preferences
        each = jax.vmap(partial(jax.random.split, num=self.learner.num_envs))(
            jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
        )
        return jax.vmap(jax.vmap(self._draw_preference))(each)

    def with_preferences(self, state: JaxState, preferences: NDArray[Any]) -> JaxState:
        """Return the state with other preferences, see :class:`morl.types.Trainer`."""
        weights = jax.device_put(self._filled(preferences), self._sharding.sharding)
        return state._replace(preferences=weights)

    def with_step_factors(self, state: JaxState, factors: NDArray[np.float32]) -> JaxState:
        """Return the state with other factors (P,) of the learners' steps, see :class:`morl.types.Guide`."""
        learner: Any = self.learner
        return state._replace(learners=learner.with_step_factor(state.learners, self._sharding.shard(factors)))

    def run(self, state: JaxState, updates: int, sums: MetricSums | None = None) -> tuple[JaxState, MetricSums]:
        """Run ``updates`` updates of every policy, see :class:`morl.types.Trainer`."""
        if self._metrics is None:
            self._metrics = jax.eval_shape(self._metrics_of, state)
        begin = self._sharding.zeros(self._metrics) if sums is None else self._sharding.shard(sums)
        state, sums = self._run(state, jnp.int32(updates), begin)
        on_host: MetricSums = self._sharding.to_host(sums)
        check_overflow(self._env, state.runners.overflow)
        return state, on_host

    def steps(self, updates: int) -> int:
        """Return the environment steps of one seed after ``updates`` updates."""
        return updates * self.num_policies // self._seeds * self.learner.num_envs * self.learner.rollout_steps

    def saved(self, state: JaxState) -> JaxState:
        """Convert a state to NumPy arrays, see :class:`morl.types.Trainer`."""
        data: JaxState = self._sharding.saved(state)
        return data

    def restored(self, fresh: JaxState, saved: JaxState) -> JaxState:
        """Return exactly the state that was saved."""
        state: JaxState = self._sharding.restored(fresh, saved)
        return state

    def policies(self, state: JaxState) -> PyTree:
        """Return the P policies, on the host."""
        return self._sharding.to_host(jax.vmap(self.learner.policy)(state.learners))

    def nonfinite(self, state: JaxState) -> NonFinite:
        """Return the non-finite updates, see :class:`morl.types.Trainer`."""
        found: NonFinite = self._sharding.to_host(state.nonfinite)
        return found

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """Run ``episodes`` greedy episodes of N stacked policies, see :class:`morl.types.Trainer`.

        Always in blocks of the one shape that is compiled: P policies (x ``width`` preferences) x ``eval_episodes``.
        """

        def run(*inputs: Any) -> Evaluation:
            evaluation: Evaluation = self._evaluate(*jax.device_put(inputs, self._sharding.sharding))
            return evaluation

        evaluation = in_blocks(
            in_widths(run, self._width) if self._width else run,
            policies,
            preferences,
            keys,
            block=len(self._preferences),
            episodes=episodes,
            each=self._eval_episodes,
        )
        check_overflow(self._env, evaluation.overflow)
        return evaluation

    def recorder(self, act: Callable[[PyTree, jax.Array, jax.Array], jax.Array], episodes: int) -> Recorder:
        """Return a function that records episodes, see :class:`morl.types.Simulator`."""
        return Recorder(self._env, self._params, self.learner, act, self._jit, episodes=episodes, gamma=self._gamma)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a compiled function, see :class:`morl.types.Simulator`."""
        return self._jit(function)

    def incidents(self) -> list[str]:
        """Return no messages: nothing happens to pure functions."""
        return []

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _run_shard(self, state: JaxState, updates: jax.Array, sums: MetricSums) -> tuple[JaxState, MetricSums]:
        return jax.vmap(self._run_one, in_axes=(0, None, 0))(state, updates, sums)

    def _metrics_shard(self, state: JaxState) -> Metrics:
        """Return the metrics of one of its policies for all: only their shapes are asked for, and vmap takes long."""
        one = self._update(jax.tree.map(lambda x: x[0], state))[1].metrics
        metrics: Metrics = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(state.updates), *x.shape)), one)
        return metrics

    def _run_one(self, state: JaxState, updates: jax.Array, sums: MetricSums) -> tuple[JaxState, MetricSums]:
        def body(_: jax.Array, carry: tuple[JaxState, MetricSums]) -> tuple[JaxState, MetricSums]:
            state, sums = carry
            state, one = self._update(state)
            return state, jax.tree.map(jnp.add, sums, one)

        done: tuple[JaxState, MetricSums] = jax.lax.fori_loop(0, updates, body, (state, sums))
        return done

    def _update_once(self, state: JaxState) -> tuple[JaxState, MetricSums]:
        """Collect one rollout and run one update of one policy."""
        key_rollout, key_update = jax.random.split(jax.random.fold_in(state.keys, state.updates))
        runners, preferences, batch = rollout(
            self._env,
            self._params,
            self.learner,
            self.learner.policy(state.learners),
            state.preferences,
            state.runners,
            key_rollout,
            self.learner.rollout_steps,
            self._draw_preference,
        )
        learners, metrics, nonfinite, counts, broken = guarded_update(
            self._updating, state.learners, batch, key_update, state.nonfinite, state.updates, skip=self._skip_nonfinite
        )
        if self._skip_nonfinite:  # a broken environment is not to be gone on from
            starts = start_batch(self._env, self._params, jax.random.fold_in(key_rollout, 1), self.learner.num_envs)
            runners = choose(broken, starts, runners)
            learners = choose(broken, reset_episode_state(learners), learners)
        state = JaxState(learners, runners, state.keys, preferences, state.updates + 1, nonfinite)
        return state, MetricSums(counts.astype(jnp.float32), metrics)
