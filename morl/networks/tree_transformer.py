"""Transformer over the nodes of trees, conditioned on a vector, with edges as biases of the attention.

It is a graph transformer (Dwivedi and Bresson, 2021; Ying et al., 2021). Its leaves are arrays only. Shapes: N nodes, S
sites of a node, D the width, C conditions.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.networks.mlp import Linear, linear
from morl.networks.packing import pack, packing, unpack
from morl.networks.transformer import Array, Block, Norm, attend, block, norm
from morl.ops.batching import with_leading_axes

SELF, TO_WHOLE, OF_WHOLE, FIRST_SITE = 0, 1, 2, 3  # relations; from FIRST_SITE on S to parents, then S to children


class Trees(NamedTuple):
    """Trees of at most N nodes. A part that does not exist has the number after the largest.

    Attributes:
        kinds: (..., N) int32 kind of each node.
        parents: (..., N) int32 node that each node is attached to; a root has none.
        sites: (..., N) int32 site of the parent that each node is attached to; a root has none.
        chosen: (...) int32 place (node * S + site) that was chosen to be filled next, if one was.
    """

    kinds: jax.Array
    parents: jax.Array
    sites: jax.Array
    chosen: jax.Array


class TreeTransformer(eqx.Module):
    """Transformer with outputs of the whole tree, and of each site of each node.

    The whole tree is one more token, which sees all nodes and is seen by them. Attention between two nodes has a bias
    that depends on their relation: the same node, parent or child by a given site, or neither.

    Attributes:
        kinds: (kinds + 1, D) embeddings; the last one stands for no node.
        sites: (S + 1, D) embeddings of the site that a node is attached to.
        chosen: (S, D) embeddings of the site that was chosen, for its node.
        whole: (D,) embedding of the whole tree.
        relations: (2 S + 3, blocks, heads) biases of the attention.
        condition: layer from (C,) to (D,), added to every token.
        of_whole, of_sites: layers to the outputs.
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
        """Return outputs (..., outputs) of trees under conditions (..., C), and outputs (..., N, S) of their sites."""
        number = trees.kinds.shape[-1]
        node = jnp.arange(number, dtype=jnp.int32)
        first = with_leading_axes(node * len(self.chosen), trees.kinds.ndim)
        x = self._nodes(trees.kinds, trees.sites, trees.chosen[..., None] - first)
        whole = jnp.broadcast_to(jnp.asarray(self.whole), (*x.shape[:-2], 1, x.shape[-1]))
        x = jnp.concatenate([whole, x], axis=-2) + self.condition(condition)[..., None, :]
        there, bias = self._there(trees), self._biases(trees)
        for i, layer in enumerate(self.blocks):
            query, key, value = layer.queries_keys_values(x)
            x = layer.finish(x, attend(query, key, value, there[..., None, None, :], bias[..., i, :, :, :]))
        x = self.norm(x)
        return self.of_whole(x[..., 0, :]), self.of_sites(x[..., 1:, :])

    def packed(self, trees: Trees, condition: jax.Array, counts: jax.Array, room: int) -> tuple[jax.Array, jax.Array]:
        """Return the outputs of R trees that :meth:`__call__` returns, for those that count; of the others, arbitrary.

        Most trees have few nodes of the N that there could be. The dense layers, which are most of the work, see only
        the nodes that there are and the tokens of whole trees; sums are in another order, so that outputs differ by
        rounding.

        Args:
            trees: (R, ...).
            condition: (R, C).
            counts: (R,) bool.
            room: most tokens of those that count: their nodes, and one more for each tree.
        """
        places = packing(self._there(trees) & counts[:, None], room)
        node = jnp.maximum(places.place - 1, 0)
        here = places.row, node
        chosen = trees.chosen[places.row] - node * len(self.chosen)
        x = self._nodes(trees.kinds[here], trees.sites[here], chosen)
        x = jnp.where((places.place == 0)[:, None], jnp.asarray(self.whole)[None], x)
        x = x + self.condition(condition[places.row])
        bias = self._biases(trees)
        for i, layer in enumerate(self.blocks):
            spread = unpack(layer.attention_in(layer.attention_norm(x)), places)
            attended = attend(*layer.split(spread), places.there[:, None, None, :], bias[:, i])
            flat = attended.reshape(*attended.shape[:-2], -1)
            x = layer.finish(x, pack(flat, places))
        x = unpack(self.norm(x), places)
        return self.of_whole(x[:, 0]), self.of_sites(x[:, 1:])

    def _nodes(self, kinds: jax.Array, sites: jax.Array, chosen: jax.Array) -> jax.Array:
        """Return embeddings (..., D) of nodes of kinds and sites (...), with the chosen site (...) of each if in range.

        By one-hot products and not gathers: the gradient of a gather is a scatter, slow on XLA's CPU backend.
        """
        x = jax.nn.one_hot(kinds, len(self.kinds), dtype=jnp.float32) @ self.kinds
        x = x + jax.nn.one_hot(sites, len(self.sites), dtype=jnp.float32) @ self.sites
        return x + jax.nn.one_hot(chosen, len(self.chosen), dtype=jnp.float32) @ self.chosen

    def _there(self, trees: Trees) -> jax.Array:
        """Return which tokens there are, (..., N + 1) bool; the whole tree always."""
        before = [(0, 0)] * (trees.kinds.ndim - 1)
        return jnp.pad(trees.kinds != len(self.kinds) - 1, [*before, (1, 0)], constant_values=True)

    def _biases(self, trees: Trees) -> jax.Array:
        """Return the biases of the attention, (..., blocks, heads, N + 1, N + 1)."""
        related = _relations(trees, len(self.chosen))
        return jnp.einsum("...qkr,rbh->...bhqk", related, jnp.asarray(self.relations))


def _relations(trees: Trees, num_sites: int) -> jax.Array:
    """Return the relation of each token to each other one, one-hot or all 0, (..., N + 1, N + 1, 2 S + 3).

    The whole tree is the first token.
    """
    number = trees.kinds.shape[-1]
    rank = trees.parents.ndim
    # [i, j]: j is the parent of i
    is_child = trees.parents[..., :, None] == with_leading_axes(jnp.arange(number, dtype=jnp.int32), rank + 1)
    at_site = trees.sites[..., :, None, None] == with_leading_axes(jnp.arange(num_sites, dtype=jnp.int32), rank + 2)
    to_parent = is_child[..., None] & at_site
    of_nodes = jnp.concatenate([to_parent, jnp.swapaxes(to_parent, -3, -2)], axis=-1)
    before = [(0, 0)] * (of_nodes.ndim - 3)
    related = jnp.pad(of_nodes, [*before, (1, 0), (1, 0), (FIRST_SITE, 0)])
    token = jnp.arange(number + 1, dtype=jnp.int32)
    same, first_row, first_column = token[:, None] == token[None], (token == 0)[:, None], (token == 0)[None]
    relation = jnp.arange(related.shape[-1], dtype=jnp.int32)
    for kind, those in ((SELF, same), (TO_WHOLE, first_column & ~same), (OF_WHOLE, first_row & ~same)):
        related = related | with_leading_axes(those[..., None] & (relation == kind)[None, None], related.ndim)
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
    """Return a tree transformer with weights as in :func:`morl.networks.transformer.transformer`; all biases are 0."""

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
