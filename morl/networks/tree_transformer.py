"""A transformer over the nodes of trees, conditioned on a vector: attention knows who is whose parent.

As a graph transformer (Dwivedi and Bresson, 2021; Ying et al., 2021), with edges as biases of the attention. Its leaves
are arrays only, like those of :mod:`morl.networks.mlp`.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.networks.mlp import Linear, linear
from morl.networks.transformer import Array, Block, Norm, attend, block, norm

SELF, TO_WHOLE, OF_WHOLE, FIRST_SITE = 0, 1, 2, 3  # relations; from the last on, first to parents, then to children


class Trees(NamedTuple):
    """Trees of at most N nodes, (..., N); a part of one that is not there has the number after the last.

    Attributes:
        kinds: int32 of each node.
        parents: int32 node above it; none of a root.
        sites: int32 place at its parent that it is on; none of a root.
        chosen: (...) int32 of the place (node * S + site) that comes next, if one was chosen.
    """

    kinds: jax.Array
    parents: jax.Array
    sites: jax.Array
    chosen: jax.Array


class TreeTransformer(eqx.Module):
    """Reads trees of at most N nodes with S sites each: outputs of the whole tree, and of each site of each node.

    The whole is one more token, which sees all nodes and is seen by them. What a node sees of another is biased by what
    they are to each other: the same, parent or child by a given site, or neither.

    Attributes:
        kinds: (kinds + 1, D) embeddings; the last is of no node.
        sites: (S + 1, D) embeddings of the site that a node is on.
        chosen: (S, D) embeddings of a node's site that was chosen.
        whole: (D,) embedding.
        relations: (2 S + 3, blocks, heads) biases.
        condition: from (C,) to D, added everywhere.
    """

    kinds: Array
    sites: Array
    chosen: Array
    whole: Array
    relations: Array
    condition: Linear
    blocks: tuple[Block, ...]
    norm: Norm
    of_whole: Linear
    of_sites: Linear

    def __call__(self, trees: Trees, condition: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Outputs (..., outputs) of trees (...) under conditions (..., C), and (..., N, S) of their sites."""
        number, num_sites = trees.kinds.shape[-1], len(self.chosen)
        node = jnp.arange(number)
        # one-hot products and not gathers: their gradients are scatters, slow on XLA's CPU backend
        x = jax.nn.one_hot(trees.kinds, len(self.kinds)) @ self.kinds
        x = x + jax.nn.one_hot(trees.sites, len(self.sites)) @ self.sites
        places = trees.chosen[..., None] - node * num_sites
        x = x + jax.nn.one_hot(places, num_sites) @ self.chosen  # all 0 out of the range
        whole = jnp.broadcast_to(jnp.asarray(self.whole), (*x.shape[:-2], 1, x.shape[-1]))
        x = jnp.concatenate([whole, x], axis=-2) + self.condition(condition)[..., None, :]
        there = jnp.pad(trees.kinds != len(self.kinds) - 1, [(0, 0)] * (x.ndim - 2) + [(1, 0)], constant_values=True)
        related = _relations(trees, num_sites)
        bias = jnp.einsum("...qkr,rbh->...bhqk", related, jnp.asarray(self.relations))
        for i, layer in enumerate(self.blocks):
            query, key, value = layer.queries_keys_values(x)
            x = layer.finish(x, attend(query, key, value, there[..., None, None, :], bias[..., i, :, :, :]))
        x = self.norm(x)
        return self.of_whole(x[..., 0, :]), self.of_sites(x[..., 1:, :])


def _relations(trees: Trees, num_sites: int) -> jax.Array:
    """(..., N + 1, N + 1, 2 S + 3) one-hot, or all 0, of what each token sees in each other; the whole is the first."""
    number = trees.kinds.shape[-1]
    is_child = trees.parents[..., :, None] == jnp.arange(number)  # of the column's node
    to_parent = is_child[..., None] & (trees.sites[..., :, None, None] == jnp.arange(num_sites))
    of_nodes = jnp.concatenate([to_parent, jnp.swapaxes(to_parent, -3, -2)], axis=-1)
    before = [(0, 0)] * (of_nodes.ndim - 3)
    related = jnp.pad(of_nodes, [*before, (1, 0), (1, 0), (FIRST_SITE, 0)])
    token = jnp.arange(number + 1)
    same, first_row, first_column = token[:, None] == token, (token == 0)[:, None], token == 0
    for kind, those in ((SELF, same), (TO_WHOLE, first_column & ~same), (OF_WHOLE, first_row & ~same)):
        related = related | (those[..., None] & (jnp.arange(related.shape[-1]) == kind))
    return related.astype(jnp.float32)


def tree_transformer(
    rng: np.random.Generator,
    *,
    num_kinds: int,
    num_sites: int,
    num_conditions: int,
    num_outputs: int,
    width: int,
    num_blocks: int,
    num_heads: int,
) -> TreeTransformer:
    """Weights as of :func:`morl.networks.transformer.transformer`, no bias for any relation; outputs about 0."""

    def embeddings(*shape: int) -> NDArray[np.float32]:
        return 0.1 * rng.standard_normal(shape, np.float32)

    return TreeTransformer(
        kinds=embeddings(num_kinds + 1, width),
        sites=embeddings(num_sites + 1, width),
        chosen=embeddings(num_sites, width),
        whole=embeddings(width),
        relations=np.zeros((FIRST_SITE + 2 * num_sites, num_blocks, num_heads), np.float32),
        condition=linear(rng, num_conditions, width, 1.0),
        blocks=tuple(block(rng, width, num_blocks, num_heads) for _ in range(num_blocks)),
        norm=norm(width),
        of_whole=linear(rng, width, num_outputs, 0.01),
        of_sites=linear(rng, width, num_sites, 0.01),
    )
