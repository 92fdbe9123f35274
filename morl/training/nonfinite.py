"""Detection of non-finite numbers in an environment, a loss or a gradient of one policy, and reverting its update.

The policies beside it in the same compiled call never see them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.types import Learner, LearnerState, Metrics, PyTree, Transition

SOURCES = ("", "an observation", "a reward", "the loss", "the gradient")
FROM_ENVIRONMENT = SOURCES[1:3]


class NonFinite(NamedTuple):
    """Non-finite updates of one policy, or of each of P policies, ``()`` or ``(P,)``.

    Attributes:
        number: int32 updates that were not finite and were reverted.
        source: int32 index into ``SOURCES`` of the last of them.
        update: int32 number of that update in the stage.
        stopped: bool, the policy stays as it was before it.
    """

    number: jax.Array
    source: jax.Array
    update: jax.Array
    stopped: jax.Array


def no_nonfinite(num_policies: int) -> NonFinite:
    """Return the record of P policies without a non-finite update."""
    # an array each: no two may be the same buffer where they are donated
    number, source, update = (jnp.zeros(num_policies, jnp.int32) for _ in range(3))
    return NonFinite(number, source, update, jnp.zeros(num_policies, bool))


def revert_update(before: LearnerState, after: LearnerState) -> LearnerState:
    """Return the learner before an update, with the episode state and the replay after it.

    The environments have gone on in the meantime, and a copy of the replay would cost more than the update.
    """
    return before._replace(episode=after.episode, replay=after.replay)


def reset_episode_state(state: LearnerState) -> LearnerState:
    """Return the learner with an all-zero episode state, for environments that have all restarted."""
    return state._replace(episode=jax.tree.map(jnp.zeros_like, state.episode))


def guarded_update(
    learner: Learner,
    state: LearnerState,
    batch: Transition,
    key: jax.Array,
    nonfinite: NonFinite,
    update: jax.Array,
    *,
    skip: bool,
) -> tuple[LearnerState, Metrics, NonFinite, jax.Array, jax.Array]:
    """Run one update of one learner, reverted if it is not finite or the policy is stopped.

    Args:
        learner: the learner.
        state: its state.
        batch: (T, B) one rollout. A non-finite transition is never learnt from.
        key: of the update.
        nonfinite: record before the update.
        update: () int32, number of this update in the stage.
        skip: revert the update and go on; else the policy is stopped.

    Returns:
        The state, the metrics (0 where reverted), the record, () bool whether the update counts, and () bool whether
        the environments have to restart.
    """
    finite_obs, finite_reward = (_finite_rows(x) for x in ((batch.obs, batch.next_obs), batch.reward))
    finite = finite_obs & finite_reward
    after, metrics = learner.update(state, _without(batch, finite), key)
    source = jnp.select([~finite_obs.all(), ~finite_reward.all()], [jnp.int32(1), jnp.int32(2)], jnp.int32(0))
    return *settle(state, after, metrics, nonfinite, update, skip=skip, source=source), ~finite.all()


def settle(
    before: LearnerState,
    after: LearnerState,
    metrics: Metrics,
    nonfinite: NonFinite,
    update: jax.Array,
    *,
    skip: bool,
    source: jax.Array | int = 0,
) -> tuple[LearnerState, Metrics, NonFinite, jax.Array]:
    """Keep or revert one update of one learner; return the first four values of :func:`guarded_update`.

    Args:
        before, after: states of the learner.
        metrics: of the update.
        nonfinite, update, skip: as of :func:`guarded_update`.
        source: () int32, index into ``SOURCES`` of a fault that is known already.
    """
    found = jnp.select([~all_finite(metrics), ~all_finite(after.params)], [jnp.int32(3), jnp.int32(4)], jnp.int32(0))
    source = jnp.where(source == 0, found, source).astype(jnp.int32)
    wrong = (source > 0) & ~nonfinite.stopped
    counts = (source == 0) & ~nonfinite.stopped
    after = choose(counts, after, revert_update(before, after))
    metrics = {name: jnp.where(counts, value, 0.0) for name, value in metrics.items()}
    nonfinite = NonFinite(
        nonfinite.number + wrong.astype(jnp.int32),
        jnp.where(wrong, source, nonfinite.source),
        jnp.where(wrong, update, nonfinite.update),
        nonfinite.stopped | (wrong & (not skip)),
    )
    return after, metrics, nonfinite, counts


def choose(flag: jax.Array, these: PyTree, those: PyTree) -> PyTree:
    """Return ``these`` where the flag is set, else ``those``; arrays that both share are passed on without a copy."""
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(flag, a, b), these, those)


def all_finite(tree: PyTree) -> jax.Array:
    """Return whether all floating-point numbers of a pytree are finite, () bool."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all() if leaves else jnp.bool_(True)


def _finite_rows(tree: PyTree) -> jax.Array:
    """Return which rows (T, B) of all arrays are finite."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    shape = jax.tree.leaves(tree)[0].shape[:2]
    rows = [jnp.isfinite(x).reshape(*shape, -1).all(axis=-1) for x in leaves]
    return jnp.stack(rows).all(axis=0) if rows else jnp.ones(shape, bool)


def _without(batch: Transition, finite: jax.Array) -> Transition:
    """Replace transitions that are not ``finite`` (T, B) by zeros that are not learnt from."""

    def cleared(x: jax.Array) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return jnp.where(finite.reshape(*finite.shape, *[1] * (x.ndim - 2)), x, 0.0)

    obs, next_obs, reward = (cleared(x) for x in (batch.obs, batch.next_obs, batch.reward))
    return batch._replace(obs=obs, next_obs=next_obs, reward=reward, valid=batch.valid & finite)


def describe_news(before: NonFinite | None, now: NonFinite, policy: int) -> str | None:
    """Describe the non-finite updates of a policy since ``before``; of many, each tenth, hundredth and so on."""
    old = 0 if before is None else int(before.number[policy])
    number = int(now.number[policy])
    if number == old or (old and len(str(number)) == len(str(old))):
        return None
    what = "it stays as it was" if bool(now.stopped[policy]) else f"the update is dropped ({number} so far)"
    return f"{SOURCES[int(now.source[policy])]} is not finite: {what}"
