"""Convolutions of images: against JAX's own, by shapes worked out by hand, and in front of other networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.errors import UserError
from morl.networks.conditioning import ConditionedInput, conditioned_network
from morl.networks.images import NATURE, Convolution, image_of, observation_encoder, patches
from morl.networks.mlp import linear, mlp

RNG = np.random.default_rng(0)
ATARI = spaces.Box(0, 255, (84, 84, 4), np.uint8)


@pytest.mark.parametrize(("kernel", "stride"), [(8, 4), (4, 2), (3, 1)])
def test_a_convolution_is_that_of_jax(kernel, stride):
    layer = Convolution(linear(RNG, kernel**2 * 3, 5, 1.0), kernel, stride)
    x = jnp.asarray(RNG.normal(size=(2, 21, 18, 3)), jnp.float32)
    across = kernel // stride
    # numbers of a patch are ordered by square of a stride's side, then by pixel inside it
    weight = layer.linear.weight.reshape(across, across, stride, stride, 3, 5)
    weight = weight.transpose(0, 2, 1, 3, 4, 5).reshape(kernel, kernel, 3, 5)
    wanted = jax.lax.conv_general_dilated(
        x, jnp.asarray(weight), (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer(x), jnp.maximum(wanted, 0), rtol=1e-4, atol=1e-5)
    assert patches(x[0], kernel, stride).shape == (*wanted.shape[1:3], kernel**2 * 3)


def test_sizes_are_those_of_the_publication():
    image = image_of(ATARI, "auto")
    assert image.sides() == [(20, 20), (9, 9), (7, 7)]
    assert image.num_features == 3136
    assert image.layer_numbers == 400 * (256 + 32) + 81 * (512 + 64) + 49 * (576 + 64)
    features = observation_encoder(ATARI, "auto")
    network = features.in_front(RNG, lambda size: mlp(RNG, (size, 512, 6), "relu", output_scale=1.0))
    numbers = sum(x.size for x in jax.tree.leaves(network))
    assert numbers == 8224 + 32832 + 36928 + 3136 * 512 + 512 + 512 * 6 + 6


@pytest.mark.parametrize(
    ("space", "wanted"),
    [
        (ATARI, (84, 84, 4, False)),
        (spaces.Box(0, 255, (4, 84, 90), np.uint8), (84, 90, 4, True)),
        (spaces.Box(0, 255, (40, 60), np.uint8), (40, 60, 1, False)),
        (spaces.Box(0, 255, (20, 20, 3), np.uint8), None),  # too small
        (spaces.Box(0, 255, (60, 60, 60), np.uint8), None),  # no few channels
        (spaces.Box(0, 1, (84, 84, 4), np.float32), None),  # of reals: only where it is asked for
        (spaces.Box(0, 255, (7,), np.uint8), None),
        (spaces.Discrete(5), None),
    ],
    ids=str,
)
def test_what_is_taken_for_an_image(space, wanted):
    found = image_of(space, "auto")
    assert (found and tuple(found)[:4]) == wanted
    assert image_of(space, "flat") is None


def test_reals_are_an_image_where_it_is_asked_for():
    assert image_of(spaces.Box(-1, 1, (84, 84, 1), np.float32), "nature").low == -1


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(0, 255, (20, 84, 3), np.uint8), "at least 36 x 36 pixels, not 20 x 84; allowed here: auto, flat"),
        (spaces.Box(-np.inf, np.inf, (84, 84, 3)), "needs images, a Box of two or three axes with the same bounds"),
        (spaces.Discrete(3), r"the observations are Discrete\(3\)"),
    ],
    ids=str,
)
def test_others_are_refused_by_name(space, message):
    with pytest.raises(UserError, match=message) as caught:
        image_of(space, "nature")
    assert "\n" not in str(caught.value)


def test_pixels_are_from_0_to_1_with_channels_last():
    space = spaces.Box(0, 255, (2, 40, 50), np.uint8)
    obs = RNG.integers(0, 256, (3, 2, 40, 50)).astype(np.uint8)
    found = observation_encoder(space, "auto")
    assert found.fixed
    np.testing.assert_allclose(
        found.encode(jnp.asarray(obs)).reshape(3, 40, 50, 2), obs.transpose(0, 2, 3, 1) / 255, rtol=1e-6
    )


def test_other_features_go_past_the_convolutions():
    """The body sees features of the image and the two numbers beside it, alone or for a batch."""
    features = observation_encoder(spaces.Box(0, 255, (36, 40), np.uint8), "auto")
    image, seen = features.image, []

    class Body:
        def __init__(self, size):
            self.size = size

        def __call__(self, x):
            seen.append(x)
            return x

    network = features.in_front(RNG, Body, more=2)
    x = jnp.asarray(RNG.uniform(size=(3, 5, image.size + 2)), jnp.float32)
    network(x)
    assert seen[0].shape == (3, 5, network.body.size) == (3, 5, image.num_features + 2)
    np.testing.assert_array_equal(seen[0][..., -2:], x[..., -2:])
    network(x[1, 2])
    np.testing.assert_allclose(seen[1], seen[0][1, 2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["concat", "film", "hypernetwork"])
def test_networks_of_a_preference_see_it_behind_the_convolutions(kind):
    found, sizes = observation_encoder(spaces.Box(0, 255, (36, 36), np.uint8), "auto"), []

    def behind(size):
        sizes.append(size)
        return conditioned_network(RNG, kind, size, 2, (8,), 3, "tanh", embedding_size=4, output_scale=1.0)

    network = found.in_front(RNG, behind)
    assert sizes == [NATURE[-1][0]]  # one pixel is left
    features = jnp.asarray(RNG.uniform(size=(5, found.size)), jnp.float32)
    first, other = (network(ConditionedInput(features, jnp.asarray(w, jnp.float32))) for w in ([1, 0], [0, 1]))
    assert first.shape == (5, 3)
    assert np.abs(first - other).max() > 1e-3
