"""Rows that count are computed part by part, each of them once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.mogfn.parts import Room, in_parts

NUMBER = 23
RNG = np.random.default_rng(0)
ROWS = jnp.asarray(RNG.normal(size=(NUMBER, 3)), jnp.float32)
TOKENS = jnp.asarray(RNG.integers(1, 5, NUMBER), jnp.int32)
COUNTS = jnp.asarray(RNG.random(NUMBER) < 0.6)
PARAMS = {"weight": jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32), "bias": jnp.ones((1, 2), jnp.float32)}


def layer(params, rows, counts):
    """Return outputs of rows that count; others are given a value that must not get through."""
    return jnp.where(counts[:, None], jnp.tanh(rows @ params["weight"] + params["bias"]), 1e3 * params["bias"])


def whole(params, counts):
    return jnp.where(counts[:, None], layer(params, ROWS, counts), 0.0)


@pytest.mark.parametrize("room", [Room(6, 10), Room(1, 4), Room(NUMBER, 4 * NUMBER)])
@pytest.mark.parametrize("counts", [COUNTS, jnp.zeros(NUMBER, bool), jnp.ones(NUMBER, bool)])
def test_outputs_and_gradient_are_those_of_all_rows_at_once(room, counts):
    def parts(params):
        return in_parts(layer, room, params, ROWS, TOKENS, counts)

    np.testing.assert_allclose(jax.jit(parts)(PARAMS), whole(PARAMS, counts), rtol=1e-6)
    mine = jax.jit(jax.grad(lambda params: (parts(params) ** 2).sum()))(PARAMS)
    wanted = jax.grad(lambda params: (whole(params, counts) ** 2).sum())(PARAMS)
    for name in PARAMS:
        np.testing.assert_allclose(mine[name], wanted[name], rtol=1e-5, atol=1e-6)


def test_no_part_has_more_tokens_than_there_is_room_for():
    def tokens_of_part(params, rows, counts):
        return jnp.broadcast_to(jnp.where(counts, rows[:, 0], 0).sum(), (len(counts), 1))

    rows = TOKENS[:, None].astype(jnp.float32)
    found = np.asarray(in_parts(tokens_of_part, Room(6, 10), {}, rows, TOKENS, jnp.ones(NUMBER, bool)))
    assert 4 < found.max() <= 10
