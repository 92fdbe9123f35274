"""Networks of features and a preference: that the preference reaches them, and how."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.networks.conditioning import ConditionedInput, conditioned_network
from morl.ops.initial import generator

KINDS = ("concat", "film", "hypernetwork")
FEATURES = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)), jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(2).dirichlet(np.ones(2), 5), jnp.float32)


def network(kind, rng=None, activation="tanh", **changes):
    sizes = {"num_features": 3, "num_objectives": 2, "hidden": (8, 6), "num_outputs": 4, "embedding_size": 3}
    rng = np.random.default_rng(0) if rng is None else rng
    return conditioned_network(rng, kind, **{**sizes, **changes}, activation=activation, output_scale=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_its_own_preference(kind):
    """Row by row, with one preference for all, and by jit and vmap: the same numbers."""
    net = network(kind)
    together = net(ConditionedInput(FEATURES, WEIGHTS))
    assert together.shape == (5, 4)
    alone = [net(ConditionedInput(FEATURES[i : i + 1], WEIGHTS[i]))[0] for i in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    blocks = net(ConditionedInput(FEATURES.reshape(5, 1, 3), WEIGHTS.reshape(5, 1, 2)))
    np.testing.assert_allclose(blocks[:, 0], together, rtol=1e-5, atol=1e-6)
    mapped = jax.jit(jax.vmap(lambda inputs: net(inputs)))(ConditionedInput(FEATURES, WEIGHTS))
    np.testing.assert_allclose(mapped, together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_preference_changes_the_outputs_from_the_start(kind):
    """Another preference gives other outputs for the same features, and a gradient flows to every parameter."""
    net = network(kind)
    one, two = (net(ConditionedInput(FEATURES, jnp.array(w))) for w in ([1.0, 0.0], [0.0, 1.0]))
    assert np.abs(one - two).max() > 0.05
    gradient = jax.grad(lambda net: jnp.sum(net(ConditionedInput(FEATURES, WEIGHTS)) ** 2))(
        jax.tree.map(jnp.asarray, net)
    )
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_film_scales_and_shifts_hidden_layers():
    """One hidden layer, by hand: relu((x A + a)(1 + γ) + β) B + b, with (γ, β) affine in tanh of the embedding."""
    net = network("film", hidden=(8,), activation="relu")
    hidden, last = net.body.layers
    embedded = np.tanh(net.embedding(WEIGHTS))
    modulation = embedded @ net.modulations[0].weight + net.modulations[0].bias
    gamma, beta = modulation[:, :8], modulation[:, 8:]
    y = np.maximum((np.asarray(FEATURES) @ hidden.weight + hidden.bias) * (1 + gamma) + beta, 0)
    np.testing.assert_allclose(net(ConditionedInput(FEATURES, WEIGHTS)), y @ last.weight + last.bias, rtol=1e-4)


def test_a_hypernetwork_makes_the_parameters_of_an_mlp():
    """θ = W f(w) + b, as parameters of a plain MLP for each preference."""
    net = network("hypernetwork")
    rng = np.random.default_rng(3)
    net = eqx.tree_at(
        lambda n: [layer.bias for layer in n.layers],
        net,
        [rng.normal(size=layer.bias.shape).astype(np.float32) for layer in net.layers],
    )
    for features, w, found in zip(FEATURES, WEIGHTS, net(ConditionedInput(FEATURES, WEIGHTS)), strict=True):
        f = np.append(np.tanh(net.embedding(w)), 1.0)
        x = np.asarray(features)
        for i, layer in enumerate(net.layers):
            x = x @ np.tensordot(f, layer.weight, 1) + f @ layer.bias
            x = np.tanh(x) if i < 2 else x
        np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_known_without_making_it(kind):
    shapes = jax.eval_shape(lambda key: network(kind, generator(key)), jax.random.key(0))
    for abstract, array in zip(jax.tree.leaves(shapes), jax.tree.leaves(network(kind)), strict=True):
        assert (abstract.shape, abstract.dtype) == (array.shape, array.dtype)
