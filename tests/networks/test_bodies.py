"""Networks with normalised hidden layers: what they compute, by hand, and which statistics they use."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.networks.bodies import BatchNorm, LayerNorm, Moments, body, with_moments
from morl.ops.initial import generator

KINDS = ("mlp", "layer_norm", "residual", "batch_norm")
INPUTS = jnp.asarray(np.random.default_rng(1).normal(size=(64, 3)), jnp.float32)


def network(kind, rng=None, hidden=(8, 8)):
    return body(np.random.default_rng(0) if rng is None else rng, kind, (3, *hidden, 2), output_scale=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_by_itself_when_a_network_is_called(kind):
    net = network(kind)
    together = net(INPUTS)
    assert together.shape == (64, 2)
    np.testing.assert_allclose(together[5], net(INPUTS[5]), rtol=1e-5, atol=1e-6)
    blocks = net(INPUTS.reshape(4, 16, 3)).reshape(64, 2)
    np.testing.assert_allclose(blocks, together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_learnt_number_has_a_gradient(kind):
    net = jax.tree.map(jnp.asarray, network(kind))

    def loss(net):
        out = net.of_batch(INPUTS, jnp.ones(64))[0] if kind == "batch_norm" else net(INPUTS)
        return jnp.sum((out - 1) ** 2)

    found = jax.tree_util.tree_leaves_with_path(jax.grad(loss)(net))
    still = {jax.tree_util.keystr(path[-1:]) for path, leaf in found if not np.asarray(leaf).any()}
    assert still == ({".mean", ".variance"} if kind == "batch_norm" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_without_allocation(kind):
    abstract = jax.eval_shape(lambda key: network(kind, generator(key)), jax.random.key(0))
    shapes = [leaf.shape for leaf in jax.tree.leaves(abstract)]
    assert shapes == [leaf.shape for leaf in jax.tree.leaves(network(kind))]


def test_layer_normalisation_by_hand():
    """The mean of (1, 3) is 2, their deviation 1."""
    norm = LayerNorm(np.array([1.0, 10.0], np.float32), np.array([0.5, 0.0], np.float32))
    np.testing.assert_allclose(norm(jnp.array([[1.0, 3.0]])), [[-0.5, 10.0]], rtol=1e-4)


def test_layer_normalisation_forgets_the_size_of_hidden_features():
    net = network("layer_norm")
    larger = eqx.tree_at(lambda net: net.layers[0].weight, net, 7 * net.layers[0].weight)
    np.testing.assert_allclose(larger(INPUTS), net(INPUTS), rtol=1e-2, atol=1e-3)
    plain = network("mlp")
    larger = eqx.tree_at(lambda net: net.layers[0].weight, plain, 7 * plain.layers[0].weight)
    assert np.abs(larger(INPUTS) - plain(INPUTS)).max() > 1


def test_a_residual_block_adds_to_its_stream():
    """Blocks whose last layer is 0 leave the stream as it is: the outputs are those of its normalisation."""
    net = network("residual")
    assert net.blocks[0][1].weight.shape == (8, 32)
    silent = eqx.tree_at(
        lambda net: [block[2].weight for block in net.blocks], net, [np.zeros((32, 8), np.float32)] * 2
    )
    np.testing.assert_allclose(silent(INPUTS), net.last(net.norm(net.first(INPUTS))), rtol=1e-5)
    assert np.abs(silent(INPUTS) - net(INPUTS)).max() > 0.1


def test_batch_normalisation_by_hand():
    norm = BatchNorm(*(np.array([x], np.float32) for x in (2.0, 1.0, 0.0, 1.0)))
    np.testing.assert_allclose(
        norm(jnp.array([[3.0]]), Moments(jnp.array([1.0]), jnp.array([4.0]))), [[3.0]], rtol=1e-3
    )
    np.testing.assert_allclose(norm(jnp.array([[3.0]])), [[7.0]], rtol=1e-3)  # running: mean 0, variance 1


def test_statistics_are_those_of_the_rows_that_count():
    net, weight = network("batch_norm"), jnp.asarray(np.arange(64) % 2, jnp.float32)
    strange = jnp.where(weight[:, None] > 0, INPUTS, 1e6)
    (one, moments), (two, _) = net.of_batch(strange, weight), net.of_batch(INPUTS, weight)
    np.testing.assert_allclose(one[1::2], two[1::2], rtol=1e-5)
    np.testing.assert_allclose(moments[0].mean, INPUTS[1::2].mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments[0].variance, INPUTS[1::2].var(axis=0), rtol=1e-4)
    assert np.abs(net.of_batch(INPUTS, jnp.ones(64))[0] - two).max() > 1e-3


def test_running_statistics_follow_those_of_batches():
    """A hundredth at a time; in the end a call gives what the batch by its own statistics gives."""
    net = network("batch_norm")
    wanted, moments = net.of_batch(INPUTS, jnp.ones(64))
    norms = lambda net: net.norms  # noqa: E731
    once = with_moments(net, moments, norms)
    np.testing.assert_allclose(once.norms[0].mean, 0.01 * moments[0].mean, rtol=1e-4)
    np.testing.assert_allclose(once.norms[0].variance, 0.99 + 0.01 * moments[0].variance, rtol=1e-4)
    moved = jax.lax.fori_loop(0, 2000, lambda _, net: with_moments(net, moments, norms), jax.tree.map(jnp.asarray, net))
    np.testing.assert_allclose(moved(INPUTS), wanted, rtol=1e-3, atol=1e-3)
