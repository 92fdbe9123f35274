"""Training and evaluation on JAX environments: rollout and update of all policies in one compiled call.

The policies are the leading axis of every array. With several devices (two virtual ones on a two-core CPU, say) that
axis is split over them; policies do not talk to each other, so no result depends on the split.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from morl.training.backends.devices import quick_to_compile
from morl.training.backends.sharding import Placement, single
from morl.training.evaluation import evaluate, in_blocks, in_widths
from morl.training.nonfinite import Faults, choose, guarded_update, none
from morl.training.rollout import AnyEnv, Lane, rollout, start_batch
from morl.types import Evaluation, Learner, Metrics, PyTree, Sums


class JaxState(NamedTuple):
    """P learners with their environments; P is rounded up to a multiple of the number of devices by spare copies.

    Attributes:
        learners: stacked learners.
        lanes: (P, B) running environments.
        keys: (P,) one key for each policy, folded with the count of its updates.
        preferences: (P, R), or (P, B, R) one for each environment.
        updates: () int32, updates done.
        faults: (P,) what went wrong.
    """

    learners: PyTree
    lanes: Lane
    keys: jax.Array
    preferences: jax.Array
    updates: jax.Array
    faults: Faults


class JaxBackend:
    """Runs ``learner`` for the ``preferences`` (P, R) or (P, B, R) of all policies on an environment of pure functions.

    ``width`` is 0 where each policy has its own preference; else policies take any, and are evaluated for that many at
    a time. With ``skip_faults`` a policy goes on after an update that is not finite; else it is stopped.
    """

    def __init__(
        self,
        env: AnyEnv,
        learner: Learner,
        preferences: np.ndarray[Any, Any],
        *,
        eval_episodes: int,
        gamma: float,
        width: int = 0,
        devices: Sequence[jax.Device] | None = None,
        skip_faults: bool = False,
    ) -> None:
        self.learner = learner
        self.num_policies = len(preferences)
        self._place = Placement(self.num_policies, devices)
        self._preferences = self._filled(preferences)
        self._env, self._params = env, env.default_params
        self._eval_episodes, self._width = eval_episodes, width
        self._skip_faults = skip_faults
        self._metrics: Metrics | None = None  # their shapes

        mesh = self._place.mesh
        split, whole = PartitionSpec("policies"), PartitionSpec()
        shard = partial(jax.shard_map, mesh=mesh, check_vma=False)
        compiled = partial(jax.jit, compiler_options=quick_to_compile(mesh.devices[0].platform))
        self._start = compiled(jax.vmap(partial(start_batch, env, self._params, num_envs=learner.num_envs)))
        self._run = compiled(
            shard(self._run_shard, in_specs=(split, whole, split), out_specs=(split, split)), donate_argnums=0
        )
        self._evaluate = compiled(
            shard(
                partial(
                    evaluate, env, self._params, learner, episodes=eval_episodes, gamma=gamma, conditional=bool(width)
                ),
                in_specs=(split, split, split),
                out_specs=split,
            )
        )

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: np.ndarray[Any, Any] | None = None,
    ) -> JaxState:
        """Learners and environments at the start, see :class:`morl.types.Trainer`."""
        # spare copies share the key of the policy they copy: they fill a device, nobody reads them
        stacked_keys = jnp.stack([*keys, *keys[: self._place.spare]])
        key_init, key_start, key_run = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=3))(stacked_keys), 1, 0)
        weights = self._preferences if preferences is None else self._filled(preferences)
        if learners is None:
            learners = [self.learner.init(key, w) for key, w in zip(key_init, weights, strict=True)]
        else:
            learners = [*learners, *learners[: self._place.spare]]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *learners)
        updates = jnp.zeros(len(key_run), jnp.int32)
        state = JaxState(stacked, self._start(key_start), key_run, jnp.asarray(weights), updates, none(len(updates)))
        placed: JaxState = jax.device_put(state, self._place.sharding)
        return placed

    def _filled(self, preferences: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """With those of the spare copies."""
        return np.concatenate([preferences, preferences[: self._place.spare]]).astype(np.float32)

    def run(self, state: JaxState, updates: int, sums: Sums | None = None) -> tuple[JaxState, Sums]:
        """``updates`` updates of every policy, see :class:`morl.types.Trainer`."""
        if self._metrics is None:
            self._metrics = jax.eval_shape(self._once, single(state))[1].metrics
        begin = self._place.zeros(self._metrics) if sums is None else self._place.placed(sums)
        state, sums = self._run(state, jnp.int32(updates), begin)
        return state, self._place.own(sums)

    def saved(self, state: JaxState) -> JaxState:
        """As NumPy arrays, see :class:`morl.types.Trainer`."""
        data: JaxState = self._place.saved(state)
        return data

    def restored(self, fresh: JaxState, saved: JaxState) -> JaxState:
        """Exactly the state that was saved."""
        state: JaxState = self._place.restored(fresh, saved)
        return state

    def policies(self, state: JaxState) -> PyTree:
        """The P policies, on the host."""
        return self._place.own(jax.vmap(self.learner.policy)(state.learners))

    def faults(self, state: JaxState) -> Faults:
        """What went wrong, see :class:`morl.types.Trainer`."""
        faults: Faults = self._place.own(state.faults)
        return faults

    def evaluate(
        self, policies: PyTree, preferences: np.ndarray[Any, Any], keys: jax.Array, episodes: int
    ) -> Evaluation:
        """``episodes`` greedy episodes of N stacked policies, see :class:`morl.types.Trainer`.

        Always in blocks of the one shape that is compiled: P policies (x ``width`` preferences) x ``eval_episodes``.
        """

        def run(*inputs: Any) -> Evaluation:
            evaluation: Evaluation = self._evaluate(*jax.device_put(inputs, self._place.sharding))
            return evaluation

        return in_blocks(
            in_widths(run, self._width) if self._width else run,
            policies,
            preferences,
            keys,
            block=len(self._preferences),
            episodes=episodes,
            each=self._eval_episodes,
        )

    def incidents(self) -> list[str]:
        """Nothing happens to pure functions."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""

    def _run_shard(self, state: JaxState, updates: jax.Array, sums: Sums) -> tuple[JaxState, Sums]:
        return jax.vmap(self._run_one, in_axes=(0, None, 0))(state, updates, sums)

    def _run_one(self, state: JaxState, updates: jax.Array, sums: Sums) -> tuple[JaxState, Sums]:
        def body(_: jax.Array, carry: tuple[JaxState, Sums]) -> tuple[JaxState, Sums]:
            state, sums = carry
            state, one = self._once(state)
            return state, jax.tree.map(jnp.add, sums, one)

        done: tuple[JaxState, Sums] = jax.lax.fori_loop(0, updates, body, (state, sums))
        return done

    def _once(self, state: JaxState) -> tuple[JaxState, Sums]:
        """One update of one policy."""
        key_rollout, key_update = jax.random.split(jax.random.fold_in(state.keys, state.updates))
        lanes, batch = rollout(
            self._env,
            self._params,
            self.learner,
            self.learner.policy(state.learners),
            state.preferences,
            state.lanes,
            key_rollout,
            self.learner.rollout_steps,
        )
        learners, metrics, faults, counts, broken = guarded_update(
            self.learner, state.learners, batch, key_update, state.faults, state.updates, skip=self._skip_faults
        )
        if self._skip_faults:  # what an environment has become is not to be gone on from
            starts = start_batch(self._env, self._params, jax.random.fold_in(key_rollout, 1), self.learner.num_envs)
            lanes = choose(broken, starts, lanes)
            learners = choose(broken, self.learner.restarted(learners), learners)
        state = state._replace(learners=learners, lanes=lanes, updates=state.updates + 1, faults=faults)
        return state, Sums(counts.astype(jnp.float32), metrics)
