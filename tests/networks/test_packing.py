"""Tokens of rows are moved together and apart; each way is the gradient of the other."""

import jax
import jax.numpy as jnp
import numpy as np

from morl.networks.packing import pack, packing, unpack

THERE = jnp.array([[1, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]], bool)


def test_tokens_are_moved_together_and_back():
    where = packing(THERE, 7)
    places = jnp.arange(24, dtype=jnp.float32).reshape(4, 3, 2) + 1
    tokens = pack(places, where)
    by_hand = [places[0, 0], places[0, 1], places[2, 0], places[2, 2], places[3, 1]]
    np.testing.assert_array_equal(tokens, [*by_hand, [0, 0], [0, 0]])
    np.testing.assert_array_equal(unpack(tokens, where), np.where(np.asarray(THERE)[..., None], places, 0))


def test_each_way_has_the_gradient_of_a_plain_gather():
    rng = np.random.default_rng(0)
    where = packing(THERE, 5)  # just as many as there are
    x, y = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((4, 3, 2), (5, 2)))

    def plain_pack(x):
        return jnp.where(where.counts[:, None], x[where.row, where.place], 0.0)

    def plain_unpack(y):
        return jnp.where(where.there[..., None], y[where.token], 0.0)

    for mine, plain, at in ((pack, plain_pack, x), (unpack, plain_unpack, y)):
        gradient = jax.grad(lambda z, of=mine: (of(z, where) ** 3).sum())(at)
        np.testing.assert_allclose(gradient, jax.grad(lambda z, of=plain: (of(z) ** 3).sum())(at), rtol=1e-6)
