"""The Gram matrix of several objectives' gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops.gradients import gram_matrix


def test_by_hand():
    """Rows (-4, 1, 1) and (6, 1, 1), split over two arrays: 16 + 1 + 1, -24 + 1 + 1, and 36 + 1 + 1."""
    gradients = {"a": jnp.array([[-4.0], [6.0]]), "b": jnp.array([[1.0, 1.0], [1.0, 1.0]])}
    np.testing.assert_array_equal(gram_matrix(gradients), [[18, -22], [-22, 38]])


def test_against_the_gradients_of_each_objective():
    rng = np.random.default_rng(0)
    x, targets = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32), jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    params = {"w": jnp.asarray(rng.normal(size=(4, 3)), jnp.float32), "b": jnp.zeros(3)}

    def losses(params):
        hidden = jnp.tanh(x @ params["w"] + params["b"][None])
        return jnp.mean((hidden.sum(axis=1, keepdims=True) - targets) ** 2, axis=0)

    gradients = [jax.grad(lambda p, i=i: losses(p)[i])(params) for i in range(3)]
    rows = np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in gradients])
    np.testing.assert_allclose(jax.jit(gram_matrix)(jax.jacrev(losses)(params)), rows @ rows.T, rtol=1e-5)


@pytest.mark.parametrize("gradients", [{}, {"a": jnp.zeros(())}, {"a": jnp.zeros((2, 3)), "b": jnp.zeros((3, 3))}])
def test_gradients_of_no_common_axis_are_refused(gradients):
    with pytest.raises(ValueError, match="one leading axis of objectives"):
        gram_matrix(gradients)
