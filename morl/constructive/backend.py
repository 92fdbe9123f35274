"""Back-end of samplers of objects: trains and draws with the samplers of all seeds in one compiled call.

The seeds are the leading axis of every array, and it is split over the devices as that of policies is
(:mod:`morl.training.backends.jax`). On each device they run one after another, by the program of a single one: a seed
gives the same numbers whatever trains beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from numpy.typing import ArrayLike, NDArray

from morl.constructive.sampling import texts
from morl.training.backends.devices import quick_to_compile
from morl.training.backends.environment import WATCHED
from morl.training.backends.interruptible import Compiled
from morl.training.backends.sharding import Sharding
from morl.training.nonfinite import NonFinite, no_nonfinite, settle
from morl.types import Actor, Evaluation, LearnerState, Metrics, MetricSums, PyTree

if TYPE_CHECKING:
    from morl.training.setup import Setup


class Sampler(Actor, Protocol):
    """Learner that walks its constructive task by itself, and draws objects for any preference.

    An update builds ``num_envs`` * ``rollout_steps`` objects, each of them rewarded once. All methods for drawing take
    its ``policy``.
    """

    @property
    def env(self) -> Any: ...

    def update(self, state: LearnerState, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Build objects and learn from them; return the new state and scalar metrics."""
        ...

    def condition(self, weights: ArrayLike, beta: float | None = None) -> Any:
        """Return the condition of preferences (n, R) and an exponent of the reward, by default the highest.

        Raises:
            UserError: not preferences, or an exponent it was not trained for.
        """
        ...

    def sample(self, policy: PyTree, condition: Any, key: jax.Array) -> Any:
        """Sample :class:`morl.agents.mogfn.trajectories.Trajectories`, one for each of n conditions."""
        ...

    def log_probability(self, policy: PyTree, condition: Any, trajectories: Any) -> jax.Array:
        """Compute the log-probabilities (n,) of n trajectories."""
        ...

    def log_reward(self, values: Any, preference: Any, beta: Any) -> Any:
        """Compute β log R of objectives (..., R) under preferences (..., R), with exponents (...)."""
        ...

    def log_z(self, policy: PyTree, condition: Any) -> jax.Array:
        """Return the learnt logarithm (n,) of the sum of all objects' rewards, for n conditions."""
        ...

    def distribution(self, policy: PyTree, condition: Any) -> jax.Array:
        """Return the exact probabilities (n, objects) of a tabular task's objects for n conditions."""
        ...


class SamplerState(NamedTuple):
    """P samplers; P is rounded up to a multiple of the number of devices by spare copies.

    Attributes:
        learners: stacked learners.
        keys: (P,) one key for each, folded with the count of its updates.
        updates: (P,) int32, updates done.
        nonfinite: (P,) non-finite updates.
    """

    learners: LearnerState
    keys: jax.Array
    updates: jax.Array
    nonfinite: NonFinite


class _Drawn(NamedTuple):
    """Objects (..., C): their observations, objectives and steps."""

    obs: jax.Array
    values: jax.Array
    length: jax.Array


def make_backend(
    setup: Setup,
    preferences: NDArray[Any],
    *,
    eval_episodes: int,
    devices: Sequence[jax.Device],
    skip_nonfinite: bool = False,
) -> SamplerBackend:
    """Return the trainer of the samplers of a setup, one for each of the preferences, which stand for the seeds."""
    return SamplerBackend(
        cast(Sampler, setup.agent.learner),
        len(preferences),
        block=min(WATCHED, setup.agent.num_preferences) * eval_episodes,
        gamma=setup.gamma,
        devices=devices,
        skip_nonfinite=skip_nonfinite,
    )


class SamplerBackend:
    """Trainer of ``number`` samplers, one for each seed, which draws ``block`` objects at a time of each.

    See :class:`morl.types.Trainer` for its methods.
    """

    def __init__(
        self,
        sampler: Sampler,
        number: int,
        *,
        block: int,
        gamma: float,
        devices: Sequence[jax.Device] | None = None,
        skip_nonfinite: bool = False,
    ) -> None:
        self._sampler, self._number, self._block, self._gamma = sampler, number, block, gamma
        self._devices, self._skip_nonfinite = devices, skip_nonfinite
        self._metrics: Metrics | None = None  # their shapes
        self._update = jax.jit(self._update_once, inline=True)  # traced once, for these shapes and for the loop
        self._sharding = Sharding(number, devices)
        mesh = self._sharding.mesh
        split, whole = PartitionSpec("policies"), PartitionSpec()
        shard = partial(jax.shard_map, mesh=mesh, check_vma=False)
        compiled = partial(Compiled, compiler_options=quick_to_compile(mesh.devices.flat[0].platform))
        self._run = compiled(
            shard(self._run_shard, in_specs=(split, whole, split), out_specs=(split, split)), donate_argnums=0
        )
        self._metrics_of = shard(self._metrics_shard, in_specs=split, out_specs=split)
        self._draw = compiled(shard(self._draw_shard, in_specs=(split, split, split), out_specs=split))

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> SamplerState:
        """Return samplers at the start; each of them is for any preference."""
        # spare copies share the key of the sampler they copy: they fill a device, nobody reads them
        stacked_keys = jnp.stack([*keys, *keys[: self._sharding.spare]])
        key_init, key_run = jnp.moveaxis(jax.vmap(jax.random.split)(stacked_keys), 1, 0)
        if learners is None:
            chosen = [self._sampler.init(key) for key in key_init]
        else:
            chosen = [*learners, *learners[: self._sharding.spare]]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *chosen)
        state = SamplerState(stacked, key_run, jnp.zeros(len(key_run), jnp.int32), no_nonfinite(len(key_run)))
        sharded: SamplerState = jax.device_put(state, self._sharding.sharding)
        return sharded

    def run(self, state: SamplerState, updates: int, sums: MetricSums | None = None) -> tuple[SamplerState, MetricSums]:
        """Run ``updates`` updates of every sampler and add their metrics to ``sums``."""
        if self._metrics is None:
            self._metrics = jax.eval_shape(self._metrics_of, state)
        start = self._sharding.zeros(self._metrics) if sums is None else self._sharding.shard(sums)
        state, sums = self._run(state, jnp.int32(updates), start)
        return state, self._sharding.to_host(sums)

    def steps(self, updates: int) -> int:
        """Return the objects built for one seed, which has one sampler, after ``updates`` updates."""
        return updates * self._sampler.num_envs * self._sampler.rollout_steps

    def with_preferences(self, state: SamplerState, preferences: NDArray[Any]) -> SamplerState:
        """Return the state as it is: samplers draw the preferences they learn from."""
        return state

    def for_learner(self, learner: Any) -> SamplerBackend:
        """Return a trainer of as many samplers on the same devices that updates them by another learner."""
        return SamplerBackend(
            learner,
            self._number,
            block=self._block,
            gamma=self._gamma,
            devices=self._devices,
            skip_nonfinite=self._skip_nonfinite,
        )

    def saved(self, state: SamplerState) -> SamplerState:
        """Return the state as NumPy arrays."""
        data: SamplerState = self._sharding.saved(state)
        return data

    def restored(self, fresh: SamplerState, saved: SamplerState) -> SamplerState:
        """Return exactly the state that was saved."""
        state: SamplerState = self._sharding.restored(fresh, saved)
        return state

    def policies(self, state: SamplerState) -> PyTree:
        """Return the policies of the P samplers, stacked, on the host."""
        return self._sharding.to_host(jax.vmap(self._sampler.policy)(state.learners))

    def nonfinite(self, state: SamplerState) -> NonFinite:
        """Return the non-finite updates of the P samplers."""
        found: NonFinite = self._sharding.to_host(state.nonfinite)
        return found

    def incidents(self) -> list[str]:
        """Return no message: nothing happens to pure functions."""
        return []

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """Draw ``episodes`` objects at random for each of M preferences of N samplers, N at most P: (N, M, E, ...).

        The returns are the objectives, once they are reached: no step before the last is rewarded.
        """
        number, wanted, num_objectives = preferences.shape
        filled = np.arange(self._number + self._sharding.spare) % number
        chosen = jax.device_put(jax.tree.map(lambda x: np.asarray(x)[filled], policies), self._sharding.sharding)
        repeated = np.repeat(preferences[filled], episodes, axis=1)
        total, parts = wanted * episodes, []
        for index, begin in enumerate(range(0, total, self._block)):
            places = np.minimum(np.arange(begin, begin + self._block), total - 1)
            conditions = [self._sampler.condition(rows) for rows in repeated[:, places]]
            stacked = jax.tree.map(lambda *x: np.stack(x), *conditions)
            inputs = chosen, stacked, _fold(keys[filled], index)
            parts.append(jax.tree.map(np.asarray, self._draw(*jax.device_put(inputs, self._sharding.sharding))))
        drawn: _Drawn = jax.tree.map(lambda *x: np.concatenate(x, axis=1)[:number, :total], *parts)

        def shaped(x: Any, *shape: int) -> Any:
            return np.asarray(x).reshape(number, wanted, episodes, *shape)

        values, length = shaped(drawn.values, num_objectives), shaped(drawn.length)
        built = np.asarray(texts(self._sampler.env, np.asarray(drawn.obs).reshape(-1, *drawn.obs.shape[2:])))
        return Evaluation(self._gamma ** (length[..., None] - 1.0) * values, values, length, shaped(built))

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _run_shard(self, state: SamplerState, updates: jax.Array, sums: MetricSums) -> tuple[SamplerState, MetricSums]:
        # one after another, not vmap: batched products of other shapes round differently
        after: tuple[SamplerState, MetricSums] = jax.lax.map(partial(self._run_one, updates), (state, sums))
        return after

    def _metrics_shard(self, state: SamplerState) -> Metrics:
        metrics: Metrics = jax.lax.map(lambda one: self._update(one)[1].metrics, state)
        return metrics

    def _run_one(self, updates: jax.Array, start: tuple[SamplerState, MetricSums]) -> tuple[SamplerState, MetricSums]:
        def body(_: jax.Array, carry: tuple[SamplerState, MetricSums]) -> tuple[SamplerState, MetricSums]:
            state, sums = carry
            state, one = self._update(state)
            return state, jax.tree.map(jnp.add, sums, one)

        done: tuple[SamplerState, MetricSums] = jax.lax.fori_loop(0, updates, body, start)
        return done

    def _update_once(self, state: SamplerState) -> tuple[SamplerState, MetricSums]:
        """Run one update of one sampler."""
        key = jax.random.fold_in(state.keys, state.updates)
        after, metrics = self._sampler.update(state.learners, key)
        after, metrics, nonfinite, counts = settle(
            state.learners, after, metrics, state.nonfinite, state.updates, skip=self._skip_nonfinite
        )
        state = state._replace(learners=after, updates=state.updates + 1, nonfinite=nonfinite)
        return state, MetricSums(counts.astype(jnp.float32), metrics)

    def _draw_shard(self, policies: PyTree, conditions: Any, keys: jax.Array) -> _Drawn:
        drawn: _Drawn = jax.lax.map(lambda of: self._draw_one(*of), (policies, conditions, keys))
        return drawn

    def _draw_one(self, policy: PyTree, condition: Any, key: jax.Array) -> _Drawn:
        built = self._sampler.sample(policy, condition, key)
        return _Drawn(built.end.obs, built.end.values, built.length)


_fold = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
