"""Genetic operators on the steps that build objects, for every constructive task (Kim et al., 2024, arXiv 2402.05961).

The genome of an object is the list of steps that build it, and any list of numbers builds an object. So two objects
can be crossed, and one be mutated, without operators of the task's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.mogfn.trajectories import AnyTask, Finished, Reader, backward
from morl.ops.batching import with_leading_axes

FARTHEST = 8  # steps by which a crossed part is moved at most
MOVED = 0.2  # share of genomes part of which moves by one step


class GenomeReader(NamedTuple):
    """Reader that builds an object from each of the genomes (B, T), a gene a step.

    A gene is an action, the one to take where it is allowed. Where it is not, gene g stands for the (g mod m)-th of
    the m allowed ones. Genes after the last step are ignored.
    """

    env: AnyTask
    genomes: jax.Array

    def start(self) -> jax.Array:
        return jnp.zeros((), jnp.int32)

    def read(self, place: jax.Array, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        mask = self.env.action_mask(obs) > 0
        actions = with_leading_axes(jnp.arange(mask.shape[-1], dtype=jnp.int32), mask.ndim)
        gene = self.genomes[:, place, None]
        rank = jnp.cumsum(mask, axis=-1, dtype=jnp.int32) - 1
        instead = mask & (rank == gene % mask.sum(axis=-1, keepdims=True))
        allowed = jnp.any(mask & (actions == gene), axis=-1, keepdims=True)
        taken = jnp.where(allowed, actions == gene, instead)
        return place + 1, jnp.where(taken, 0.0, -1e9)


class JoinedReader(NamedTuple):
    """Reader of a batch whose first ``number`` trajectories are read by ``first``, and the others by ``second``."""

    first: Reader[Any]
    second: Reader[Any]
    number: int

    def start(self) -> tuple[Any, Any]:
        return self.first.start(), self.second.start()

    def read(self, memory: tuple[Any, Any], obs: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        one, logits = self.first.read(memory[0], obs[: self.number])
        other, others = self.second.read(memory[1], obs[self.number :])
        return (one, other), jnp.concatenate([logits[:, : others.shape[1]], others])


def bred(
    env: AnyTask, first: Finished, second: Finished, known: jax.Array, mutations: float, key: jax.Array
) -> jax.Array:
    """Return genomes (n, T) int32 of children of n pairs of objects, crossed and mutated; at random unless ``known``.

    Args:
        env: the task.
        first, second: the parents.
        known: () bool, False where rows of the parents are arbitrary.
        mutations: mean number of genes that are drawn anew.
        key: drawn from.
    """
    keys = jax.random.split(key, 5)
    mine, other = genomes(env, first, keys[0]), genomes(env, second, keys[1])
    child = mutated(crossed(mine, other, keys[2]), _num_actions(env), mutations, keys[3])
    return jnp.where(known, child, _genes(env, child.shape, keys[4]))


def genomes(env: AnyTask, objects: Finished, key: jax.Array) -> jax.Array:
    """Return a genome (n, T) of each object, by steps that P_B draws; genes after its end are drawn at random."""
    key_back, key_rest = jax.random.split(key)
    path = backward(env, env.default_params, objects, key_back)
    return jnp.where(path.valid, path.action, _genes(env, path.action.shape, key_rest))


def crossed(first: jax.Array, second: jax.Array, key: jax.Array) -> jax.Array:
    """Return the first genomes (n, T) with the part between two places from the second.

    In half of them the part comes from up to ``FARTHEST`` places before or after.
    """
    number, length = first.shape
    key_ends, key_moved, key_by = jax.random.split(key, 3)
    ends = jax.random.randint(key_ends, (number, 2), 0, length + 1, dtype=jnp.int32)
    by = jax.random.randint(key_by, (number, 1), -FARTHEST, FARTHEST + 1, dtype=jnp.int32)
    by = jnp.where(jax.random.bernoulli(key_moved, 0.5, (number, 1)), by, 0)
    place = jnp.arange(length, dtype=jnp.int32)[None]
    between = (place >= ends.min(axis=1, keepdims=True)) & (place < ends.max(axis=1, keepdims=True))
    return jnp.where(between, jnp.take_along_axis(second, (place + by) % length, axis=1), first)


def mutated(genome: jax.Array, num_actions: int, mutations: float, key: jax.Array) -> jax.Array:
    """Return genomes (n, T) with genes drawn anew, ``mutations`` of them on average.

    A share of ``MOVED`` also lose the gene at one place and repeat that at another, so that those between move.
    """
    number, length = genome.shape
    key_ends, key_moved, key_which, key_genes = jax.random.split(key, 4)
    place = jnp.arange(length, dtype=jnp.int32)[None]
    out, at = jax.random.randint(key_ends, (2, number, 1), 0, length, dtype=jnp.int32)
    by = ((place >= out) & (place < at)).astype(jnp.int32) - ((place > at) & (place <= out)).astype(jnp.int32)
    moved = jnp.take_along_axis(genome, place + by, axis=1)
    genome = jnp.where(jax.random.bernoulli(key_moved, MOVED, (number, 1)), moved, genome)
    fresh = jax.random.randint(key_genes, genome.shape, 0, num_actions, dtype=jnp.int32)
    return jnp.where(jax.random.bernoulli(key_which, mutations / length, genome.shape), fresh, genome)


def _genes(env: AnyTask, shape: tuple[int, ...], key: jax.Array) -> jax.Array:
    return jax.random.randint(key, shape, 0, _num_actions(env), dtype=jnp.int32)


def _num_actions(env: AnyTask) -> int:
    return int(env.action_space.n)  # type: ignore[attr-defined]
