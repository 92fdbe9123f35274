"""Training of samplers of constructive tasks, and drawing objects with them: all seeds in one compiled call.

The seeds are the leading axis of every array, and it is split over the devices as that of policies is
(:mod:`morl.training.backends.jax`). On each device they run one after another, by the program of a single one: a seed
gives the same numbers whatever trains beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from numpy.typing import ArrayLike, NDArray

from morl.constructive.sampling import texts
from morl.training.backends.devices import quick_to_compile
from morl.training.backends.sharding import Placement, single
from morl.training.nonfinite import Faults, none, settled
from morl.types import Actor, Evaluation, Metrics, PyTree, Sums


class Sampler(Actor, Protocol):
    """A learner that walks its constructive task by itself, and draws objects for any preference.

    ``num_envs`` * ``rollout_steps`` are the objects it builds for an update, each of them rewarded once. What it needs
    of its state to draw is its ``policy``.
    """

    @property
    def env(self) -> Any: ...

    def update(self, state: PyTree, key: jax.Array) -> tuple[PyTree, Metrics]:
        """Build objects and learn from them; scalar metrics."""
        ...

    def learnt(self, state: PyTree) -> PyTree:
        """As of :class:`morl.types.Learner`."""
        ...

    def undone(self, before: PyTree, after: PyTree) -> PyTree:
        """As of :class:`morl.types.Learner`."""
        ...

    def condition(self, weights: ArrayLike, beta: float | None = None) -> Any:
        """What objects are drawn for: preferences (n, R), and an exponent of the reward, the highest by default.

        Raises:
            UserError: not preferences, or an exponent it was not trained for.
        """
        ...

    def sample(self, policy: PyTree, condition: Any, key: jax.Array) -> Any:
        """A trajectory for each of n conditions, as :class:`morl.agents.mogfn.trajectories.Trajectories`."""
        ...

    def log_probability(self, policy: PyTree, condition: Any, trajectories: Any) -> jax.Array:
        """(n,) log-probabilities of n trajectories."""
        ...

    def log_reward(self, values: Any, preference: Any, beta: Any) -> Any:
        """Log of the reward of objectives (..., R) under preferences (..., R), to the power of exponents (...)."""
        ...

    def log_z(self, policy: PyTree, condition: Any) -> jax.Array:
        """(n,) log of the sum of all objects' rewards, as it was learnt, of n conditions."""
        ...

    def distribution(self, policy: PyTree, condition: Any) -> jax.Array:
        """(n, objects) exact probabilities of a tabular task's objects for n conditions."""
        ...


class GFNState(NamedTuple):
    """P samplers; P is rounded up to a multiple of the number of devices by spare copies.

    Attributes:
        samplers: stacked learners.
        keys: (P,) one key for each, folded with the count of its updates.
        updates: (P,) int32, updates done.
        faults: (P,) what went wrong.
    """

    samplers: PyTree
    keys: jax.Array
    updates: jax.Array
    faults: Faults


class _Drawn(NamedTuple):
    """Objects (..., C): their observations, objectives and steps."""

    obs: jax.Array
    values: jax.Array
    length: jax.Array


class GFNBackend:
    """Trains ``number`` samplers, one for each seed, and draws ``block`` objects at a time of each."""

    def __init__(
        self,
        sampler: Sampler,
        number: int,
        *,
        block: int,
        gamma: float,
        devices: Sequence[jax.Device] | None = None,
        skip_faults: bool = False,
    ) -> None:
        self._sampler, self._number, self._block, self._gamma = sampler, number, block, gamma
        self._skip_faults = skip_faults
        self._metrics: Metrics | None = None  # their shapes
        self._place = Placement(number, devices)
        mesh = self._place.mesh
        split, whole = PartitionSpec("policies"), PartitionSpec()
        shard = partial(jax.shard_map, mesh=mesh, check_vma=False)
        compiled = partial(jax.jit, compiler_options=quick_to_compile(mesh.devices[0].platform))
        self._run = compiled(
            shard(self._run_shard, in_specs=(split, whole, split), out_specs=(split, split)), donate_argnums=0
        )
        self._draw = compiled(shard(self._draw_shard, in_specs=(split, split, split), out_specs=split))

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> GFNState:
        """Samplers at the start, see :class:`morl.types.Trainer`; each of them is for any preference."""
        # spare copies share the key of the sampler they copy: they fill a device, nobody reads them
        stacked_keys = jnp.stack([*keys, *keys[: self._place.spare]])
        key_init, key_run = jnp.moveaxis(jax.vmap(jax.random.split)(stacked_keys), 1, 0)
        if learners is None:
            begun = [self._sampler.init(key, jnp.zeros(0)) for key in key_init]
        else:
            begun = [*learners, *learners[: self._place.spare]]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *begun)
        state = GFNState(stacked, key_run, jnp.zeros(len(key_run), jnp.int32), none(len(key_run)))
        placed: GFNState = jax.device_put(state, self._place.sharding)
        return placed

    def run(self, state: GFNState, updates: int, sums: Sums | None = None) -> tuple[GFNState, Sums]:
        """``updates`` updates of every sampler, see :class:`morl.types.Trainer`."""
        if self._metrics is None:
            self._metrics = jax.eval_shape(self._once, single(state))[1].metrics
        begin = self._place.zeros(self._metrics) if sums is None else self._place.placed(sums)
        state, sums = self._run(state, jnp.int32(updates), begin)
        return state, self._place.own(sums)

    def saved(self, state: GFNState) -> GFNState:
        """As NumPy arrays, see :class:`morl.types.Trainer`."""
        data: GFNState = self._place.saved(state)
        return data

    def restored(self, fresh: GFNState, saved: GFNState) -> GFNState:
        """Exactly the state that was saved."""
        state: GFNState = self._place.restored(fresh, saved)
        return state

    def policies(self, state: GFNState) -> PyTree:
        """What draws, of the P samplers, stacked, on the host."""
        return self._place.own(jax.vmap(self._sampler.policy)(state.samplers))

    def faults(self, state: GFNState) -> Faults:
        """What went wrong, see :class:`morl.types.Trainer`."""
        faults: Faults = self._place.own(state.faults)
        return faults

    def incidents(self) -> list[str]:
        """Nothing happens to pure functions."""
        return []

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """``episodes`` objects, drawn at random, for each of M preferences of N samplers, N at most P: (N, M, E, ...).

        The returns are the objectives, once they are reached: no step before the last is rewarded.
        """
        number, wanted, num_objectives = preferences.shape
        filled = np.arange(self._number + self._place.spare) % number
        chosen = jax.device_put(jax.tree.map(lambda x: np.asarray(x)[filled], policies), self._place.sharding)
        repeated = np.repeat(preferences[filled], episodes, axis=1)
        total, parts = wanted * episodes, []
        for index, begin in enumerate(range(0, total, self._block)):
            places = np.minimum(np.arange(begin, begin + self._block), total - 1)
            conditions = [self._sampler.condition(rows) for rows in repeated[:, places]]
            stacked = jax.tree.map(lambda *x: np.stack(x), *conditions)
            inputs = chosen, stacked, _fold(keys[filled], index)
            parts.append(jax.tree.map(np.asarray, self._draw(*jax.device_put(inputs, self._place.sharding))))
        drawn: _Drawn = jax.tree.map(lambda *x: np.concatenate(x, axis=1)[:number, :total], *parts)

        def shaped(x: Any, *shape: int) -> Any:
            return np.asarray(x).reshape(number, wanted, episodes, *shape)

        values, length = shaped(drawn.values, num_objectives), shaped(drawn.length)
        built = np.asarray(texts(self._sampler.env, np.asarray(drawn.obs).reshape(-1, *drawn.obs.shape[2:])))
        return Evaluation(self._gamma ** (length[..., None] - 1.0) * values, values, length, shaped(built))

    def close(self) -> None:
        """Nothing to let go of."""

    def _run_shard(self, state: GFNState, updates: jax.Array, sums: Sums) -> tuple[GFNState, Sums]:
        # one after another, not vmap: batched products of other shapes round differently
        after: tuple[GFNState, Sums] = jax.lax.map(partial(self._run_one, updates), (state, sums))
        return after

    def _run_one(self, updates: jax.Array, begin: tuple[GFNState, Sums]) -> tuple[GFNState, Sums]:
        def body(_: jax.Array, carry: tuple[GFNState, Sums]) -> tuple[GFNState, Sums]:
            state, sums = carry
            state, one = self._once(state)
            return state, jax.tree.map(jnp.add, sums, one)

        done: tuple[GFNState, Sums] = jax.lax.fori_loop(0, updates, body, begin)
        return done

    def _once(self, state: GFNState) -> tuple[GFNState, Sums]:
        """One update of one sampler."""
        key = jax.random.fold_in(state.keys, state.updates)
        after, metrics = self._sampler.update(state.samplers, key)
        after, metrics, faults, counts = settled(
            self._sampler, state.samplers, after, metrics, state.faults, state.updates, skip=self._skip_faults
        )
        state = state._replace(samplers=after, updates=state.updates + 1, faults=faults)
        return state, Sums(counts.astype(jnp.float32), metrics)

    def _draw_shard(self, policies: PyTree, conditions: Any, keys: jax.Array) -> _Drawn:
        drawn: _Drawn = jax.lax.map(lambda of: self._draw_one(*of), (policies, conditions, keys))
        return drawn

    def _draw_one(self, policy: PyTree, condition: Any, key: jax.Array) -> _Drawn:
        built = self._sampler.sample(policy, condition, key)
        return _Drawn(built.end.obs, built.end.values, built.length)


_fold = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
