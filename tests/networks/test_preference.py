"""Networks conditioned on a preference: the order and the number of actions do not matter to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.networks.preference import convolution_network, flat_network, row_network

RNG = np.random.default_rng(0)
PREFERENCE = jnp.array([[0.3, 0.7]])


def rows_of(actions):
    return jax.random.normal(jax.random.key(1), (1, actions, 4))


@pytest.fixture(scope="module")
def network():
    net = row_network(np.random.default_rng(0), 4, 2, 3, (16, 16))
    net = jax.tree.map(lambda x: x + 0.01 * np.random.default_rng(1).standard_normal(x.shape).astype(x.dtype), net)
    return jax.jit(lambda *inputs: net(*inputs))


def test_an_action_is_worth_the_same_wherever_it_stands(network):
    rows, order = rows_of(5), jnp.array([3, 1, 4, 0, 2])
    out = network(rows, PREFERENCE, jnp.ones((1, 5)))
    np.testing.assert_allclose(network(rows[:, order], PREFERENCE, jnp.ones((1, 5))), out[:, order], atol=1e-6)


def test_actions_that_do_not_exist_change_nothing(network):
    rows = rows_of(5)
    alone = network(rows[:, :3], PREFERENCE, jnp.ones((1, 3)))
    among = network(rows, PREFERENCE, jnp.array([[1, 1, 1, 0, 0]]))
    np.testing.assert_allclose(among[:, :3], alone, atol=1e-6)
    assert not np.allclose(network(rows, PREFERENCE, jnp.ones((1, 5)))[:, :3], alone)  # those that do, do


def test_the_preference_is_seen(network):
    one, two = (network(rows_of(3), jnp.array([w]), jnp.ones((1, 3))) for w in ([1.0, 0.0], [0.0, 1.0]))
    assert not np.allclose(one, two)


def test_shapes():
    flat = flat_network(RNG, 4, 2, 3, 5, (8,))
    assert flat(jnp.zeros((7, 4)), jnp.zeros((7, 2))).shape == (7, 3, 5)
    convolution = convolution_network(RNG, 4, 2, 3, 5, 8, 2, (8,))
    assert convolution(jnp.zeros((7, 3, 4)), jnp.zeros((7, 2)), jnp.ones((7, 3))).shape == (7, 3, 5)


def test_a_convolution_shares_its_weights_among_servers():
    """Swapping two rows swaps what the MLP gets: with its weights for those rows swapped too, nothing changes."""
    net = convolution_network(np.random.default_rng(3), 4, 2, 3, 1, 8, 1, (8,))
    first = net.head.body.layers[0]
    weight = np.asarray(first.weight).copy()
    weight[:8], weight[8:16] = weight[8:16].copy(), weight[:8].copy()
    layers = (type(first)(weight, first.bias), *net.head.body.layers[1:])
    swapped = type(net)(
        net.stem,
        net.blocks,
        type(net.head)(type(net.head.body)(layers, net.head.body.activation), net.head.num_actions),
    )
    rows, exists = rows_of(3), jnp.ones((1, 3))
    out = swapped(rows[:, jnp.array([1, 0, 2])], PREFERENCE, exists)
    np.testing.assert_allclose(out, net(rows, PREFERENCE, exists), atol=1e-6)
