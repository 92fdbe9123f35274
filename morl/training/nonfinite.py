"""Numbers that are not finite, found where they arise: in an environment, a loss or a gradient of one policy.

The policy concerned is held back; those beside it in the same compiled call never see it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from morl.types import Learner, Metrics, PyTree, Transition

SOURCES = ("", "an observation", "a reward", "the loss", "the gradient")
FROM_ENVIRONMENT = SOURCES[1:3]


class Faults(NamedTuple):
    """What went wrong with a policy, or with each of P, ``()`` or ``(P,)``.

    Attributes:
        number: int32 updates that were not finite and were dropped.
        source: int32 index into ``SOURCES``, of the last of them.
        update: int32 which of the stage it was.
        stopped: bool, the policy stays as it was before it.
    """

    number: jax.Array
    source: jax.Array
    update: jax.Array
    stopped: jax.Array


class Undoable(Protocol):
    """The part of a learner that takes updates back, see :class:`morl.types.Learner`."""

    def learnt(self, state: PyTree) -> PyTree: ...
    def undone(self, before: PyTree, after: PyTree) -> PyTree: ...


def none(num_policies: int) -> Faults:
    """Nothing has gone wrong with P policies."""
    # an array each: no two may be the same buffer where they are donated
    number, source, update = (jnp.zeros(num_policies, jnp.int32) for _ in range(3))
    return Faults(number, source, update, jnp.zeros(num_policies, bool))


def guarded_update(
    learner: Learner, state: PyTree, batch: Transition, key: jax.Array, faults: Faults, update: jax.Array, *, skip: bool
) -> tuple[PyTree, Metrics, Faults, jax.Array, jax.Array]:
    """One update of one learner, taken back where it is not finite or the policy is stopped.

    Args:
        learner: what learns.
        state: its state.
        batch: (T, B) one rollout. A transition that is not finite is never learnt from.
        key: of the update.
        faults: those before.
        update: () int32, which of the stage this is.
        skip: drop the update and go on; else the policy is stopped.

    Returns:
        The state, the metrics (0 where taken back), the faults, () bool whether the update counts, and () bool whether
        the environments have to start anew.
    """
    seen, earned = (_finite_rows(x) for x in ((batch.obs, batch.next_obs), batch.reward))
    whole = seen & earned
    after, metrics = learner.update(state, _without(batch, whole), key)
    source = jnp.select([~seen.all(), ~earned.all()], [jnp.int32(1), jnp.int32(2)], jnp.int32(0))
    return *settled(learner, state, after, metrics, faults, update, skip=skip, source=source), ~whole.all()


def settled(
    learner: Undoable,
    before: PyTree,
    after: PyTree,
    metrics: Metrics,
    faults: Faults,
    update: jax.Array,
    *,
    skip: bool,
    source: jax.Array | int = 0,
) -> tuple[PyTree, Metrics, Faults, jax.Array]:
    """What is left of one update of one learner: the first four of what :func:`guarded_update` returns.

    Args:
        learner: of the states.
        before, after: its states.
        metrics: of the update.
        faults, update, skip: as there.
        source: () int32, of a fault that is known already.
    """
    found = jnp.select([~all_finite(metrics), ~all_finite(learner.learnt(after))], [jnp.int32(3), jnp.int32(4)], 0)
    source = jnp.where(source == 0, found, source).astype(jnp.int32)
    wrong = (source > 0) & ~faults.stopped
    counts = (source == 0) & ~faults.stopped
    after = choose(counts, after, learner.undone(before, after))
    metrics = {name: jnp.where(counts, value, 0.0) for name, value in metrics.items()}
    faults = Faults(
        faults.number + wrong,
        jnp.where(wrong, source, faults.source),
        jnp.where(wrong, update, faults.update),
        faults.stopped | (wrong & (not skip)),
    )
    return after, metrics, faults, counts


def choose(flag: jax.Array, these: PyTree, those: PyTree) -> PyTree:
    """``these`` where the flag is set; an array that both share, a replay for example, is passed on without a copy."""
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(flag, a, b), these, those)


def all_finite(tree: PyTree) -> jax.Array:
    """() bool."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all() if leaves else jnp.bool_(True)


def _finite_rows(tree: PyTree) -> jax.Array:
    """(T, B) bool."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    shape = jax.tree.leaves(tree)[0].shape[:2]
    rows = [jnp.isfinite(x).reshape(*shape, -1).all(axis=-1) for x in leaves]
    return jnp.stack(rows).all(axis=0) if rows else jnp.ones(shape, bool)


def _without(batch: Transition, whole: jax.Array) -> Transition:
    """Zeros that are not learnt from where a transition is not ``whole`` (T, B)."""

    def cleared(x: jax.Array) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return jnp.where(whole.reshape(*whole.shape, *[1] * (x.ndim - 2)), x, 0.0)

    obs, next_obs, reward = (cleared(x) for x in (batch.obs, batch.next_obs, batch.reward))
    return batch._replace(obs=obs, next_obs=next_obs, reward=reward, valid=batch.valid & whole)


def news(before: Faults | None, now: Faults, policy: int) -> str | None:
    """What there is to tell of a policy since ``before``; of many dropped updates each tenth, hundredth and so on."""
    old = 0 if before is None else int(before.number[policy])
    number = int(now.number[policy])
    if number == old or (old and len(str(number)) == len(str(old))):
        return None
    what = "it stays as it was" if bool(now.stopped[policy]) else f"the update is dropped ({number} so far)"
    return f"{SOURCES[int(now.source[policy])]} is not finite: {what}"
