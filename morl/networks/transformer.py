"""Causal transformer over strings of letters, conditioned on a vector (Vaswani et al., 2017; layer norm first).

Its leaves are arrays only. Shapes: L letters of a string, D the width, C conditions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.networks.mlp import Linear, linear
from morl.ops.batching import with_leading_axes
from morl.ops.masking import mask_logits

Array = jax.Array | NDArray[np.float32]


class Norm(eqx.Module):
    """Layer normalisation on the last axis (Ba et al., 2016)."""

    scale: Array
    shift: Array

    def __call__(self, x: jax.Array) -> jax.Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale, shift = (with_leading_axes(jnp.asarray(each), x.ndim) for each in (self.scale, self.shift))
        return centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * scale + shift


class Block(eqx.Module):
    """Attention and then a dense layer of four times the width, each added to its input."""

    attention_norm: Norm
    attention_in: Linear
    attention_out: Linear
    dense_norm: Norm
    dense_in: Linear
    dense_out: Linear
    num_heads: int = eqx.field(static=True)

    def queries_keys_values(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries, keys and values (..., heads, D / heads) of places (..., D)."""
        return self.split(self.attention_in(self.attention_norm(x)))

    def split(self, parts: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Split the outputs (..., 3 D) of ``attention_in`` into queries, keys and values (..., heads, D / heads)."""
        split = parts.reshape(*parts.shape[:-1], 3, self.num_heads, -1)
        return split[..., 0, :, :], split[..., 1, :, :], split[..., 2, :, :]

    def finish(self, x: jax.Array, attended: jax.Array) -> jax.Array:
        """Return places (..., D) after adding attended values (..., heads, D / heads) and the dense layer."""
        x = x + self.attention_out(attended.reshape(x.shape))
        return x + self.dense_out(jax.nn.gelu(self.dense_in(self.dense_norm(x))))


class Memory(NamedTuple):
    """Keys and values of the places of a string read so far (a KV cache).

    There is one array for each block, with the places inside a head, so that a loop writes a place without a copy.

    Attributes:
        keys, values: of each block, (..., heads, L, D / heads).
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]


class Transformer(eqx.Module):
    """Transformer whose outputs at place t depend on the condition and on the letters before t.

    Attributes:
        letters: (letters + 1, D) embeddings; the last one stands for the start of the string.
        places: (L, D) embeddings.
        condition: layer from (C,) to (D,), added at every place.
    """

    letters: Array
    places: Array
    condition: Linear
    blocks: tuple[Block, ...]
    norm: Norm
    head: Linear

    def __call__(self, letters: jax.Array, condition: jax.Array) -> jax.Array:
        """Return the outputs (..., L, outputs) at all places of strings (..., L) int32 under conditions (..., C)."""
        before = jnp.full_like(letters[..., :1], len(self.letters) - 1)
        x = jnp.asarray(self.letters)[jnp.concatenate([before, letters[..., :-1]], axis=-1)]
        x = x + with_leading_axes(jnp.asarray(self.places), x.ndim) + self.condition(condition)[..., None, :]
        place = jnp.arange(letters.shape[-1], dtype=jnp.int32)
        seen = place[:, None] >= place[None]
        for block in self.blocks:
            query, key, value = block.queries_keys_values(x)
            x = block.finish(x, attend(query, key, value, seen))
        return self.head(self.norm(x))

    def nothing_read(self, condition: jax.Array) -> Memory:
        """Return the memory before the first place, for conditions (..., C)."""
        block = self.blocks[0]
        length, width = self.places.shape
        shape = (*condition.shape[:-1], block.num_heads, length, width // block.num_heads)
        nothing = tuple(jnp.zeros(shape, jnp.float32) for _ in self.blocks)
        return Memory(nothing, nothing)

    def read(
        self, memory: Memory, letter: jax.Array, place: jax.Array, condition: jax.Array
    ) -> tuple[Memory, jax.Array]:
        """Return the memory with one place more, and the outputs there (..., outputs), equal to those of one pass.

        Args:
            memory: memory of the places before.
            letter: (...) int32 letter before the place; at the first place the number of letters.
            place: () int32.
            condition: (..., C).
        """
        x = jnp.asarray(self.letters)[letter]
        x = x + with_leading_axes(jnp.asarray(self.places)[place], x.ndim) + self.condition(condition)
        seen = jnp.arange(len(self.places), dtype=jnp.int32) <= place
        keys, values = [], []
        for i, block in enumerate(self.blocks):
            query, key, value = block.queries_keys_values(x)
            keys.append(jax.lax.dynamic_update_index_in_dim(memory.keys[i], key, place, axis=-2))
            values.append(jax.lax.dynamic_update_index_in_dim(memory.values[i], value, place, axis=-2))
            scores = jnp.einsum("...hd,...hkd->...hk", query, keys[-1]) / math.sqrt(query.shape[-1])
            share = jax.nn.softmax(mask_logits(scores, seen), axis=-1)
            x = block.finish(x, jnp.einsum("...hk,...hkd->...hd", share, values[-1]))
        return Memory(tuple(keys), tuple(values)), self.head(self.norm(x))


def attend(
    query: jax.Array, key: jax.Array, value: jax.Array, seen: jax.Array, bias: jax.Array | float = 0.0
) -> jax.Array:
    """Return scaled dot-product attention (..., Q, heads, d) (Vaswani et al., 2017, equation 1).

    Args:
        query: (..., Q, heads, d).
        key, value: (..., K, heads, d).
        seen: bool, whether a query sees a key; broadcasts to (..., heads, Q, K).
        bias: added to the scores; broadcasts to (..., heads, Q, K).
    """
    scores = jnp.einsum("...qhd,...khd->...hqk", query, key) / math.sqrt(query.shape[-1]) + bias
    share = jax.nn.softmax(mask_logits(scores, seen), axis=-1)
    return jnp.einsum("...hqk,...khd->...qhd", share, value)


def transformer(
    rng: np.random.Generator,
    *,
    num_letters: int,
    length: int,
    num_conditions: int,
    num_outputs: int,
    width: int,
    num_blocks: int,
    num_heads: int,
) -> Transformer:
    """Return a transformer with orthogonal weights, as NumPy arrays; its outputs are about 0.

    Weights whose outputs the blocks add up are scaled down (Radford et al., 2019). It is made on the host, for the
    reason that :func:`morl.networks.mlp.mlp` gives. ``width`` is a multiple of ``num_heads``.
    """

    def embeddings(number: int) -> NDArray[np.float32]:
        return 0.1 * rng.standard_normal((number, width), np.float32)

    blocks = tuple(block(rng, width, num_blocks, num_heads) for _ in range(num_blocks))
    return Transformer(
        letters=embeddings(num_letters + 1),
        places=embeddings(length),
        condition=linear(rng, num_conditions, width, 1.0),
        blocks=blocks,
        norm=norm(width),
        head=linear(rng, width, num_outputs, 0.01),
    )


def norm(width: int) -> Norm:
    """Return a layer norm of scale 1 and shift 0."""
    return Norm(np.ones(width, np.float32), np.zeros(width, np.float32))


def block(rng: np.random.Generator, width: int, num_blocks: int, num_heads: int) -> Block:
    """Return one of ``num_blocks`` blocks, its outputs scaled so that their sum keeps its variance."""
    added = (2 * num_blocks) ** -0.5
    return Block(
        attention_norm=norm(width),
        attention_in=linear(rng, width, 3 * width, 1.0),
        attention_out=linear(rng, width, width, added),
        dense_norm=norm(width),
        dense_in=linear(rng, width, 4 * width, 2**0.5),
        dense_out=linear(rng, 4 * width, width, added),
        num_heads=num_heads,
    )
